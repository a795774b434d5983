"""Checks over HTTP: members ask about themselves, auditors and operators about everybody."""

from typing import Any

import httpx
import pytest

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, grant_to, remove_resource, set_grants
from tests.support.responses import refused
from tests.support.spicedb_proxy import behind_proxy


@pytest.fixture
async def people(acme: Organization) -> dict[str, Person]:
    """Sue of Support, and Dan, a developer; and a webhook."""
    await add_resources(acme, "webhook:wh_1")
    return await acme.add_members({"sue": ["support"], "dan": ["developer"]})


async def ask(by: Person, *checks: dict[str, Any]) -> httpx.Response:
    """Ask several questions at once."""
    return await by.ask("POST", "/v1/check", json={"checks": list(checks)})


async def test_every_member_may_ask_about_their_own_permissions(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, here = people["sue"], {"organization": acme.id}
    await set_grants(acme, "webhook:wh_1", grant_to(sue, "edit"))
    answer = await ask(
        sue,
        {**here, "action": "refunds_create"},
        {**here, "action": "webhooks_edit"},
        {**here, "action": "edit", "resource": "webhook:wh_1"},
        {**here, "action": "delete", "resource": f"webhook:{acme.id}/wh_1", "user": sue.id},
        {**here, "action": "edit", "resource": "webhook:wh_2"},
    )
    assert answer.status_code == 200, answer.text
    assert "Teamaccess-Change" not in answer.headers
    checks = answer.json()["checks"]
    assert [each["allowed"] for each in checks] == [True, False, True, False, False]
    full = f"webhook:{acme.id}/wh_1"
    assert [each["resource"] for each in checks[:4]] == [None, None, full, full]
    assert {each["user"] for each in checks} == {sue.id}
    assert await acme.can(sue, "refunds_create", at=checks[0]["zed_token"])


async def test_only_auditors_and_operators_ask_about_others(
    acme: Organization, people: dict[str, Person]
) -> None:
    sue, dan = people["sue"], people["dan"]
    about = {"organization": acme.id, "action": "webhooks_edit", "user": dan.id}
    problem = refused(await ask(sue, about), 403, "missing_permission")
    assert problem["permission"] == "audit_view"
    operator = await acme.deployment.operator_person()
    for by in (acme.administrator, operator):
        assert [each["allowed"] for each in (await ask(by, about)).json()["checks"]] == [True]
    nobody = {**about, "user": "usr_nobody"}
    assert not (await ask(operator, nobody)).json()["checks"][0]["allowed"]
    del about["user"]
    refused(await ask(operator, about), 400, "nobody_to_check")


async def test_an_answer_includes_every_change_in_force(
    acme: Organization, people: dict[str, Person]
) -> None:
    dan = people["dan"]
    mine = {"organization": acme.id, "action": "edit", "resource": "webhook:wh_1"}
    assert (await ask(dan, mine)).json()["checks"][0]["allowed"]
    for _ in range(5):
        await acme.change_roles(dan, "support")
        assert not (await ask(dan, mine)).json()["checks"][0]["allowed"]
        await acme.change_roles(dan, "developer")
        assert (await ask(dan, mine)).json()["checks"][0]["allowed"]
    await remove_resource(acme, "webhook:wh_1")
    assert not (await ask(dan, mine)).json()["checks"][0]["allowed"]


async def test_several_organizations_are_answered_in_the_order_of_the_questions(
    acme: Organization, globex: Organization
) -> None:
    operator = await acme.deployment.operator_person()
    ana, gus = acme.administrator.id, globex.administrator.id
    checks = [
        {"organization": organization.id, "user": user, "action": "users_invite"}
        for organization, user in ((acme, ana), (globex, ana), (acme, gus), (globex, gus))
    ]
    answers = (await ask(operator, *checks)).json()["checks"]
    assert [each["allowed"] for each in answers] == [True, False, False, True]
    assert [each["organization"] for each in answers] == [each["organization"] for each in checks]


async def test_an_organization_of_others_is_unknown(
    acme: Organization, globex: Organization
) -> None:
    gus = globex.administrator
    for organization in (acme.id, "no-such", "x", "a\x00b"):
        for more in ({}, {"user": acme.administrator.id}):
            answer = await ask(gus, {"organization": organization, "action": "x", **more})
            refused(answer, 404, "unknown_organization")
    operator = await acme.deployment.operator_person()
    for organization in ("no-such", "x", "a\x00b"):
        asked = {"organization": organization, "action": "users_invite", "user": gus.id}
        refused(await ask(operator, asked), 404, "unknown_organization")


async def test_a_resource_of_an_unknown_type_has_its_own_error(acme: Organization) -> None:
    question = {"organization": acme.id, "action": "member", "resource": "organization:x"}
    problem = refused(await ask(acme.administrator, question), 404, "unknown_resource_type")
    assert problem["types"] == ["webhook", "link", "transfer"]


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"action": "dance"}, "unknown_action"),
        ({"action": "membership"}, "unknown_action"),
        ({"action": "transfers_authorize_unrestricted"}, "unknown_action"),
        ({"action": "transfers_authorize"}, "only_on_the_object"),
        ({"action": "edit", "resource": "webhook"}, "invalid_resource"),
        ({"action": "edit", "resource": "webhook:other-one/wh_1"}, "invalid_resource"),
        ({"action": "edit", "resource": "webhook:a.b"}, "invalid_resource"),
        ({"action": "webhooks_edit", "resource": "webhook:wh_1"}, "unknown_action"),
        ({"action": "granted_edit", "resource": "webhook:wh_1"}, "unknown_action"),
    ],
)
async def test_a_senseless_question_is_refused_instead_of_answered_with_no(
    acme: Organization, question: dict[str, str], code: str
) -> None:
    asked = {"organization": acme.id, **question}
    refused(await ask(acme.administrator, asked), 400, code)


async def test_without_the_engine_there_is_no_answer(acme: Organization, tmp_path: Any) -> None:
    async with behind_proxy(acme.deployment, home=tmp_path) as (second, proxy):
        ana = Person(second, acme.administrator.id, "", acme.administrator.token)
        mine = {"organization": acme.id, "action": "users_invite"}
        assert (await ask(ana, mine)).status_code == 200
        await proxy.stop()
        answer = await ask(ana, mine)
        refused(answer, 503, "engine_unavailable")
        assert answer.headers["Retry-After"]
