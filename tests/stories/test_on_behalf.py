"""A backend acts for a member: never beyond either of the two, and the ledger names both."""

from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.ledger import Attribution, OnBehalf
from teamaccess.storage import (
    Channel,
    CustomRoleAction,
    LedgerEntry,
    Membership,
    RoleId,
    User,
)
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources
from tests.support.responses import refused


async def newest_actor(organization: Organization) -> str:
    """The actor of the ledger's newest entry."""
    async with organization.deployment.service.reads() as session:
        newest = await session.scalar(
            select(LedgerEntry.actor)
            .where(LedgerEntry.organization_id == organization.id)
            .order_by(LedgerEntry.position.desc())
            .limit(1)
        )
        assert newest is not None
        return newest


async def test_a_backend_does_for_a_member_what_both_may_do_and_the_ledger_names_both(
    branch: Organization,
) -> None:
    people = await branch.add_members({"lea": ["lead"], "nora": []})
    lea, nora = people["lea"], people["nora"]
    site = await branch.add_backend_account("people_manage", "people_view", "counter_view")
    both = f"user:{lea.id} via user:{site.id}"

    answer = await branch.change_roles(nora, "auditor", by=site.on_behalf_of(lea.id))
    refused(answer, 403, "role_beyond_giver")
    role = await branch.add_custom_role("looker", "counter_view")
    answer = await branch.change_roles(nora, role, by=site.on_behalf_of(lea.id))
    assert answer.status_code == 200, answer.text
    assert await newest_actor(branch) == both
    reported = [(each.kind, each.actor) for each in await branch.events()][-2:]
    assert reported == [("refused", both), ("roles_changed", both)]

    me = (await site.on_behalf_of(lea.id).ask("GET", "/v1/me")).json()
    assert (me["id"], me["kind"], me["via"]) == (lea.id, "person", site.id)


async def test_an_action_that_only_one_of_them_may_do_is_refused(branch: Organization) -> None:
    people = await branch.add_members({"lea": ["lead"], "carl": ["clerk"], "nora": []})
    lea, carl, nora = people["lea"], people["carl"], people["nora"]
    site = await branch.add_backend_account("people_view", "counter_pay")
    before = await branch.roles_by_member()

    refused(
        await branch.change_roles(nora, by=site.on_behalf_of(lea.id)), 403, "missing_permission"
    )
    refused(
        await site.on_behalf_of(carl.id).ask("GET", f"{branch.path}/members"),
        403,
        "missing_permission",
    )
    may = await site.on_behalf_of(lea.id).ask("GET", f"{branch.path}/permissions")
    assert may.json()["actions"] == ["counter_pay", "people_view"]
    may = await site.on_behalf_of(carl.id).ask("GET", f"{branch.path}/permissions")
    assert may.json()["actions"] == []
    assert await branch.roles_by_member() == before


async def test_a_question_about_the_member_is_answered_for_both(acme: Organization) -> None:
    people = await acme.add_members({"sue": ["support"], "ben": ["administrator"]})
    sue, ben = people["sue"], people["ben"]
    site = await acme.add_backend_account("users_access", "links_edit", "webhooks_edit")
    await add_resources(acme, "webhook:wh_1")
    await add_resources(acme, "transfer:t_1", creator=acme.administrator)
    here: dict[str, Any] = {"organization": acme.id}
    asked = [
        {**here, "action": "users_access"},
        {**here, "action": "refunds_create"},
        {**here, "action": "links_edit"},
        {**here, "action": "edit", "resource": "webhook:wh_1"},
        {**here, "action": "authorize", "resource": "transfer:t_1"},
    ]

    async def reported(by: Person, *questions: dict[str, Any]) -> list[bool]:
        answer = await by.ask("POST", "/v1/check", json={"checks": questions})
        return [each["allowed"] for each in answer.raise_for_status().json()["checks"]]

    assert await reported(sue, *asked) == [True, True, False, False, False]
    assert await reported(site, *asked) == [True, False, True, True, False]
    assert await reported(site.on_behalf_of(sue.id), *asked) == [True, False, False, False, False]
    assert await reported(ben, *asked) == [True, True, True, True, True]
    named = [{**each, "user": ben.id} for each in asked]
    for questions in (asked, named):
        assert await reported(site.on_behalf_of(ben.id), *questions) == [
            True,
            False,
            True,
            True,
            False,
        ]


async def test_a_backend_and_its_member_give_only_what_both_hold(branch: Organization) -> None:
    people = await branch.add_members({"lea": ["lead"], "nora": []})
    site = await branch.add_backend_account("people_manage", "people_invite", "counter_view")
    for_lea = site.on_behalf_of(people["lea"].id)

    for answer in (
        await branch.change_roles(people["nora"], "clerk", "deputy", by=for_lea),
        await branch.invite("new", ["deputy"], by=for_lea),
        await for_lea.ask(
            "POST", f"{branch.path}/service-accounts", json={"name": "R", "roles": ["deputy"]}
        ),
    ):
        assert refused(answer, 403, "role_beyond_giver")["missing"] == [
            "counter_pay",
            "people_view",
        ]
    assert (await branch.change_roles(people["nora"], "clerk", by=for_lea)).status_code == 200
    assert (await branch.invite("new", ["clerk"], by=for_lea)).status_code == 201
    assert (await branch.accept("new")).status_code == 200


async def test_a_backend_cannot_act_on_a_member_above_it_even_on_their_behalf(
    branch: Organization,
) -> None:
    lea = (await branch.add_members({"lea": ["lead"]}))["lea"]
    site = await branch.add_backend_account("people_manage", "counter_view")
    before = await branch.roles_by_member()

    for verb in ("suspend", "remove"):
        refused(
            await branch.change_status(verb, lea, by=site.on_behalf_of(lea.id)),
            403,
            "member_above_actor",
        )
    refused(await branch.change_roles(lea, by=site.on_behalf_of(lea.id)), 403, "member_above_actor")
    assert await branch.roles_by_member() == before


async def test_acting_on_behalf_requires_the_guard(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    job = await acme.add_service_account("support")
    problem = refused(
        await job.on_behalf_of(bob.id).ask("GET", f"{acme.path}/members"),
        403,
        "missing_permission",
    )
    assert problem["permission"] == "service_accounts_act_on_behalf"
    await acme.add_custom_role("actor", "service_accounts_act_on_behalf")
    assert (await acme.change_roles(job, "support", "actor")).status_code == 200
    assert (await job.on_behalf_of(bob.id).ask("GET", f"{acme.path}/members")).status_code == 200
    assert (await acme.change_roles(job, "support")).status_code == 200
    refused(
        await job.on_behalf_of(bob.id).ask("GET", f"{acme.path}/members"),
        403,
        "missing_permission",
    )


async def test_only_service_accounts_act_on_behalf_and_only_for_people_of_their_organization(
    acme: Organization, globex: Organization
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    stranger = (await globex.add_members({"eve": ["support"]}))["eve"]
    site = await acme.add_backend_account("users_access")
    other = await acme.add_service_account("support")

    for caller in (acme.administrator, await acme.deployment.operator_person()):
        answer = await caller.on_behalf_of(bob.id).ask("GET", "/v1/me")
        refused(answer, 403, "only_service_accounts_act")
    nobody = await acme.deployment.http.get("/v1/me", headers={"Teamaccess-On-Behalf-Of": bob.id})
    refused(nobody, 401, "sign_in_required")
    for target in (stranger.id, other.id, site.id, "nobody", "", " ", "x" * 300, "a\x07b"):
        refused(await site.on_behalf_of(target).ask("GET", "/v1/me"), 404, "nobody_to_act_for")


async def test_an_external_id_names_a_member_unless_it_is_the_id_of_another(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["support"]})
    bob, eve = people["bob"], people["eve"]
    site = await acme.add_backend_account("users_access")
    await acme.set_external_id(bob, f"customer/{bob.id}")
    await acme.set_external_id(eve, bob.id)
    for target in (bob.id, f"customer/{bob.id}"):
        assert (await site.on_behalf_of(target).ask("GET", "/v1/me")).json()["id"] == bob.id


async def test_suspending_or_removing_either_ends_acting_on_behalf(acme: Organization) -> None:
    people = await acme.add_members({"bob": ["support"]})
    bob = people["bob"]
    site = await acme.add_backend_account("users_access")
    for_bob = site.on_behalf_of(bob.id)

    for target in (bob, site):
        assert (await acme.suspend(target)).status_code == 204
        refused(await for_bob.ask("GET", f"{acme.path}/members"), 404, "unknown_organization")
        assert (await acme.reactivate(target)).status_code == 204
        assert (await for_bob.ask("GET", f"{acme.path}/members")).status_code == 200
    assert (await acme.remove(bob)).status_code == 204
    refused(await for_bob.ask("GET", f"{acme.path}/members"), 404, "nobody_to_act_for")


async def test_a_backend_sees_only_the_organization_that_it_shares_with_the_member(
    acme: Organization, globex: Organization
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    async with globex.deployment.operator(globex.id) as change:
        user = await change.session.get_one(User, bob.id)
        change.session.add(Membership.begin(globex.id, user, (), change.now))
    site = await acme.add_backend_account("users_access")

    mine = (await bob.ask("GET", "/v1/organizations")).json()["items"]
    assert {each["id"] for each in mine} == {acme.id, globex.id}
    others = (await site.on_behalf_of(bob.id).ask("GET", "/v1/organizations")).json()["items"]
    assert [each["id"] for each in others] == [acme.id]
    for where in (globex.path, f"{globex.path}/permissions"):
        refused(await site.on_behalf_of(bob.id).ask("GET", where), 404, "unknown_organization")


async def test_requests_that_people_make_in_person_cannot_be_made_on_their_behalf(
    initech: Organization,
) -> None:
    bob = (await initech.add_members({"bob": ["admin"]}))["bob"]
    robot = await initech.add_service_account("admin")
    other = await initech.deployment.create_organization("hooli")
    invited = await other.administrator.ask(
        "POST", f"{other.path}/invitations", json={"email": bob.email, "roles": ["read"]}
    )
    assert invited.status_code == 201
    secret = initech.deployment.invitation_token(bob.email)
    for_bob = robot.on_behalf_of(bob.id)

    for method, path, body in (
        ("POST", "/v1/invitations/accept", {"token": secret}),
        ("POST", "/v1/organizations", {"id": f"{initech.id}-x", "name": "X"}),
        ("POST", "/v1/me/sign-out", None),
        ("POST", f"{initech.path}/leave", None),
    ):
        answer = await for_bob.ask(method, path, json=body)
        refused(answer, 403, "only_in_person")
    assert (await bob.ask("GET", f"{initech.path}/members")).status_code == 200


async def test_an_idempotency_key_of_a_backend_belongs_to_one_member(branch: Organization) -> None:
    people = await branch.add_members({"lea": ["lead"], "leo": ["lead"]})
    site = await branch.add_backend_account("people_invite", "counter_view")
    body = {"email": branch.address("new"), "roles": ["clerk"]}
    first, other, again = [
        await site.on_behalf_of(people[name].id).ask(
            "POST", f"{branch.path}/invitations", json=body, headers={"Idempotency-Key": site.id}
        )
        for name in ("lea", "leo", "lea")
    ]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    assert first.json()["invited_by"] == people["lea"].id
    refused(other, 409, "already_invited")


async def test_the_guard_is_asked_again_under_the_lock(acme: Organization) -> None:
    """The permission that admitted the request may be gone when it is authorized."""
    bob = (await acme.add_members({"bob": ["administrator"]}))["bob"]
    job = await acme.add_service_account("support")
    both = OnBehalf(bob.id, job.id)
    asked = ["users_access", "membership"]
    ledger = acme.deployment.service.ledger
    async with ledger.change(Attribution(str(both), Channel.API, "x", both), acme.id) as change:
        assert await change.permitted(acme.id, bob.id, asked) == frozenset()
        assert await change.permitted(acme.id, acme.administrator.id, asked) == frozenset(asked)


@pytest.mark.parametrize("lost", ["users_access", "service_accounts_act_on_behalf"])
async def test_a_changed_role_takes_effect_at_once_for_acting_on_behalf(
    acme: Organization, lost: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    site = await acme.add_backend_account("users_access")
    for_bob = site.on_behalf_of(bob.id)
    assert (await for_bob.ask("GET", f"{acme.path}/members")).status_code == 200
    async with acme.deployment.operator(acme.id) as change:
        row = await change.session.get_one(CustomRoleAction, (acme.id, RoleId("backend"), lost))
        await change.session.delete(row)
    refused(await for_bob.ask("GET", f"{acme.path}/members"), 403, "missing_permission")


async def test_any_external_id_can_be_named_in_percent_encoding(branch: Organization) -> None:
    site = await branch.add_backend_account("people_view")
    for number, (external_id, header) in enumerate(
        {
            "jos\u00e9": "jos%C3%A9",
            "50%": "50%25",
            "a+b c": "a+b%20c",
            "auth0|5f1c": "auth0|5f1c",
            "株式": "%E6%A0%AA%E5%BC%8F",
        }.items()
    ):
        person = (await branch.add_members({f"p{number}": []}))[f"p{number}"]
        await branch.set_external_id(person, f"{external_id}-{branch.id}")
        me = await site.on_behalf_of(f"{header}-{branch.id}").ask("GET", "/v1/me")
        assert me.status_code == 200, me.text
        assert me.json()["id"] == person.id


async def test_a_header_names_one_id_only(branch: Organization) -> None:
    people = await branch.add_members({"lea": ["lead"], "nora": []})
    site = await branch.add_backend_account("people_view")
    await branch.set_external_id(people["lea"], f"jos\u00e9-{branch.id}")
    await branch.set_external_id(people["nora"], f"jos%C3%A9-{branch.id}")

    for header, member in {"jos%C3%A9": people["lea"], "jos%25C3%25A9": people["nora"]}.items():
        me = await site.on_behalf_of(f"{header}-{branch.id}").ask("GET", "/v1/me")
        assert me.json()["id"] == member.id
    for header in ("jos%FF", "%00", "%0d%0a", "jos%C3", "%ED%A0%80"):
        answer = await site.on_behalf_of(header).ask("GET", "/v1/me")
        refused(answer, 404, "nobody_to_act_for")
