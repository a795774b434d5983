"""A registrar gives and takes exactly the roles that the catalog names, without holding their actions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.audit.plans.test_plan import gains_and_losses, make, plan
from tests.support.agreement import assert_agreement
from tests.support.command_line import runs_on
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.teams import Team

PEOPLE = {
    "reg": ["registrar"],
    "rob": ["registrar"],
    "lea": ["lead"],
    "dan": ["deputy"],
    "nora": [],
}
BANK = Path(__file__).with_name("bank.yaml")
SOON = (datetime.now(UTC) + timedelta(days=3)).isoformat()


@pytest.fixture
async def people(branch: Organization) -> dict[str, Person]:
    """Two registrars, a lead, a deputy, and a member without roles."""
    return await branch.add_members(PEOPLE)


async def test_a_registrar_invites_with_a_role_whose_actions_they_lack(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg = people["reg"]
    assert not await branch.can(reg, "counter_pay")
    assert (await branch.invite("eve", ["deputy"], by=reg)).status_code == 201
    assert (await branch.accept("eve")).status_code == 200
    assert any("#deputy@user:" in update for update in (await branch.ledger())[-1])
    await assert_agreement(branch)


async def test_an_invitation_of_a_former_registrar_gives_nothing(
    branch: Organization, people: dict[str, Person]
) -> None:
    assert (await branch.invite("eve", ["deputy"], by=people["reg"])).status_code == 201
    assert (await branch.change_roles(people["reg"], "clerk")).is_success
    refused(await branch.accept("eve"), 409, "inviter_lost_rights")


async def test_a_registrar_gives_extends_and_takes_the_roles_of_members(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, nora, dan = people["reg"], people["nora"], people["dan"]
    assert (await branch.change_roles(nora, "deputy", by=reg)).is_success
    assert await branch.can(nora, "counter_pay")
    until = {"roles": [{"role": "deputy", "expires_at": SOON}]}
    path = f"{branch.path}/members/{nora.id}"
    assert (await reg.ask("PUT", f"{path}/roles", json=until)).is_success
    assert (await branch.change_roles(nora, "deputy", by=reg)).is_success
    assert (await branch.change_roles(nora, by=reg)).is_success
    assert not await branch.can(nora, "counter_pay")
    for end in (SOON, None):
        path = f"{branch.path}/members/{dan.id}"
        assert (await reg.ask("PATCH", path, json={"expires_at": end})).is_success
    for operation in ("suspend", "reactivate"):
        assert (await branch.change_status(operation, dan, by=reg)).is_success
    assert (await branch.remove(dan, by=reg)).is_success


async def test_a_registrar_gives_no_other_role_and_changes_nobody_who_holds_more(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, nora = people["reg"], people["nora"]
    await branch.add_custom_role("payer", "counter_view", "counter_pay")
    before = await branch.roles_by_member()
    for role in ("lead", "auditor", "payer", "owner"):
        refused(await branch.change_roles(nora, role, by=reg), 403, "role_beyond_giver")
        refused(await branch.invite("eve", ["deputy", role], by=reg), 403, "role_beyond_giver")
    refused(await branch.change_roles(nora, "custodian", by=reg), 403, "operator_only_role")
    for above in (people["lea"], branch.administrator):
        for answer in (
            await branch.suspend(above, by=reg),
            await branch.remove(above, by=reg),
            await branch.change_roles(above, "deputy", by=reg),
        ):
            refused(answer, 403, "member_above_actor")
    assert await branch.roles_by_member() == before


async def test_a_registrar_gives_nothing_to_themselves(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg = people["reg"]
    team = await Team.create(branch, "desk")
    paying = await Team.create(branch, "paying", "deputy")
    assert (await team.add_member(reg)).is_success
    for answer in (
        await branch.change_roles(reg, "registrar", "deputy", by=reg),
        await team.set_roles("deputy", by=reg),
        await paying.add_member(reg, by=reg),
    ):
        refused(answer, 403, "role_beyond_giver")
    assert not await branch.can(reg, "counter_pay")


async def test_a_registrar_gives_nothing_to_service_accounts(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg = people["reg"]
    account = await branch.create_service_account("registrar", by=reg)
    await account.create_token(by=reg)
    machines = await Team.create(branch, "machines")
    assert (await machines.add_member(account)).is_success
    paying = await Team.create(branch, "paying", "deputy")
    body = {"name": "Payer", "roles": ["deputy"]}
    for answer in (
        await branch.change_roles(account, "registrar", "deputy", by=reg),
        await machines.set_roles("deputy", by=reg),
        await paying.add_member(account, by=reg),
        await reg.ask("POST", f"{branch.path}/service-accounts", json=body),
    ):
        refused(answer, 403, "role_beyond_giver")


async def test_no_service_account_gives_for_a_registrar(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, nora = people["reg"], people["nora"]
    account = await branch.create_service_account("registrar", by=reg)
    await account.create_token(by=reg)
    refused(await branch.change_roles(nora, "deputy", by=account), 403, "role_beyond_giver")
    refused(await branch.change_roles(reg, "deputy", by=account), 403, "role_beyond_giver")
    backend = await branch.add_backend_account("people_invite", "people_manage", "counter_view")
    await branch.change_roles(backend, *(await branch.roles_by_member())[backend.id], "registrar")
    deputy = backend.on_behalf_of(people["rob"].id)
    refused(await branch.change_roles(nora, "deputy", by=deputy), 403, "role_beyond_giver")


async def test_a_registrar_takes_no_token_of_an_account_that_holds_such_a_role(
    branch: Organization, people: dict[str, Person]
) -> None:
    account = await branch.add_service_account("deputy")
    path = f"{branch.path}/service-accounts/{account.id}/tokens"
    answer = await people["reg"].ask("POST", path, json={"name": "mine"})
    refused(answer, 403, "member_above_actor")


async def test_a_registrar_puts_others_into_teams_that_hold_such_roles(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, nora = people["reg"], people["nora"]
    paying = await Team.create(branch, "paying", "deputy")
    assert (await paying.add_member(nora, by=reg)).is_success
    assert await branch.can(nora, "counter_pay")
    assert (await paying.set_roles("deputy", "clerk", by=reg)).is_success
    assert (await paying.remove_member(nora, by=reg)).is_success
    leading = await Team.create(branch, "leading", "lead")
    refused(await leading.add_member(nora, by=reg), 403, "role_beyond_giver")


async def test_a_registrar_approves_requests_for_such_roles_but_not_their_own(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, nora, path = people["reg"], people["nora"], f"{branch.path}/access-requests"
    wish = {"reason": "a colleague is ill", "duration_hours": 4}
    for wanted, given in (({"role": "deputy"}, ""), ({"action": "counter_pay"}, "deputy")):
        asked = (await nora.ask("POST", path, json={**wish, **wanted})).json()["id"]
        if given:
            needed = await reg.ask("POST", f"{path}/{asked}/approve", json={})
            assert refused(needed, 400, "role_needed")["roles"] == ["deputy"]
        body: dict[str, str] = {"role": given} if given else {}
        approved = await reg.ask("POST", f"{path}/{asked}/approve", json=body)
        assert approved.is_success, approved.text
        assert (await branch.change_roles(nora, by=reg)).is_success
    asked = (await nora.ask("POST", path, json={**wish, "role": "auditor"})).json()["id"]
    refused(await reg.ask("POST", f"{path}/{asked}/approve", json={}), 403, "role_beyond_giver")
    own = (await reg.ask("POST", path, json={**wish, "role": "deputy"})).json()["id"]
    refused(await reg.ask("POST", f"{path}/{own}/approve", json={}), 403, "own_access_request")


async def test_the_permission_to_give_is_given_only_by_those_who_could_give_as_much(
    branch: Organization, people: dict[str, Person]
) -> None:
    nora, fay = people["nora"], (await branch.add_members({"fay": []}))["fay"]
    actions = ("people_view", "people_invite", "people_manage", "counter_view")
    await branch.add_custom_role("usher", *actions, holders=[fay])
    answer = await branch.change_roles(nora, "registrar", by=fay)
    assert refused(answer, 403, "role_beyond_giver")["missing"] == ["may_give_deputy"]
    answer = await branch.suspend(people["reg"], by=fay)
    assert refused(answer, 403, "member_above_actor")["missing"] == ["may_give_deputy"]
    for giver in (people["reg"], people["lea"]):
        assert (await branch.change_roles(nora, "registrar", by=giver)).is_success
        assert (await branch.change_roles(nora)).is_success


async def test_a_role_shows_which_roles_its_holders_may_give(branch: Organization) -> None:
    roles = (await branch.administrator.ask("GET", f"{branch.path}/roles")).json()["items"]
    may_give = {role["id"]: role["may_give"] for role in roles}
    assert may_give.pop("registrar") == ["deputy", "clerk"]
    assert not any(may_give.values())


async def test_audit_questions_show_who_may_give_a_role_and_why(
    branch: Organization, people: dict[str, Person]
) -> None:
    ana, reg = branch.administrator, people["reg"]
    desk = await Team.create(branch, "desk", "registrar")
    (await desk.add_member(people["nora"])).raise_for_status()

    async def ask(question: str) -> Any:
        answer = await ana.ask("GET", f"{branch.path}/audit/{question}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    who = await ask("who-can?action=may_give_deputy")
    by_user = {each["user"]: each["paths"] for each in who["items"]}
    assert by_user.keys() == {ana.id, reg.id, people["rob"].id, people["nora"].id}
    [path] = by_user[people["nora"].id]
    assert (path["role"], path["team"]) == ("registrar", "desk")
    assert who["evidence"]["unexplained"] == who["evidence"]["missing"] == 0
    why = await ask(f"why?user={reg.id}&action=may_give_clerk")
    assert why["allowed"]
    assert [each["role"] for each in why["paths"]] == ["registrar"]
    denied = await ask(f"why?user={people['lea'].id}&action=may_give_clerk")
    assert denied["obstacle"]["code"] == "role_lacks_action"
    steps = [step for each in denied["remedies"] for step in each["steps"]]
    assert [(step["role"], step["team"]) for step in steps] == [("registrar", None), (None, "desk")]
    what = await ask(f"what-can?user={reg.id}")
    assert {"may_give_deputy", "may_give_clerk"} <= {each["action"] for each in what["items"]}
    matrix = await ask("matrix")
    held = {each["user"]: each["actions"] for each in matrix["items"]}
    assert "may_give_deputy" in held[reg.id]
    assert "may_give_deputy" not in held[people["lea"].id]
    assert matrix["evidence"]["unexplained"] == matrix["evidence"]["missing"] == 0
    checks = [
        {"organization": branch.id, "user": each.id, "action": "may_give_clerk"}
        for each in (reg, people["lea"])
    ]
    checked = await ana.ask("POST", "/v1/check", json={"checks": checks})
    assert [each["allowed"] for each in checked.json()["checks"]] == [True, False]


async def test_a_plan_shows_who_gains_and_loses_the_permission_to_give(
    branch: Organization, people: dict[str, Person]
) -> None:
    giving = {"may_give_deputy", "may_give_clerk"}
    changes: list[dict[str, Any]] = [
        {"change": "set_roles", "user": people["nora"].id, "roles": ["registrar"]},
        {"change": "set_roles", "user": people["reg"].id, "roles": ["lead"]},
        {"change": "suspend", "user": people["rob"].id},
    ]
    planned = await plan(branch, *changes)
    assert planned.status_code == 200, planned.text
    gains, _ = gains_and_losses(planned, people["nora"])
    assert giving <= gains
    gains, loses = gains_and_losses(planned, people["reg"])
    assert (gains, loses) == ({"counter_pay"}, giving)
    _, loses = gains_and_losses(planned, people["rob"])
    assert giving <= loses
    assert (await make(branch, planned.headers["ETag"], *changes)).is_success


async def test_a_plan_of_another_catalog_shows_who_gains_the_permission_to_give(
    branch: Organization, people: dict[str, Person]
) -> None:
    text = BANK.read_text().replace("may_give: [deputy, clerk]", "may_give: [clerk]")
    body = {"changes": [], "catalog": text}
    planned = await branch.administrator.ask("POST", f"{branch.path}/audit/plan", json=body)
    assert planned.status_code == 200, planned.text
    assert gains_and_losses(planned, people["reg"]) == (set(), {"may_give_deputy"})


async def test_a_member_sees_which_roles_they_may_give(
    branch: Organization, people: dict[str, Person]
) -> None:
    for person, roles in (
        (people["reg"], ["deputy", "clerk"]),
        (branch.administrator, ["deputy", "clerk"]),
        (people["lea"], []),
    ):
        own = (await person.ask("GET", f"{branch.path}/permissions")).json()
        assert own["may_give"] == roles
        assert not any(each.startswith("may_give") for each in own["actions"])


async def test_the_command_shows_who_may_give_a_role(
    branch: Organization, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs_on(branch.deployment, monkeypatch)
    found = await run("audit", "what-can", branch.id, people["reg"].email)
    assert found.exit_code == 0, found.output
    assert "may_give_deputy" in found.stdout
    why = await run("audit", "why", branch.id, people["lea"].id, "may_give_deputy")
    assert (why.exit_code, why.stdout.splitlines()[0]) == (1, "no")


async def test_a_clone_says_that_it_may_give_no_roles(branch: Organization) -> None:
    body = {"id": "doorman", "name": "Doorman", "clone_of": "registrar"}
    answer = await branch.administrator.ask("POST", f"{branch.path}/roles", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["left_out"] == ["may_give_clerk", "may_give_deputy"]
    assert answer.json()["may_give"] == []


async def test_an_invitation_that_a_registrar_may_send_has_no_obstacle(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, invitations = people["reg"], f"{branch.path}/invitations"
    assert (await branch.invite("eve", ["deputy"], by=reg)).status_code == 201
    [listed] = (await reg.ask("GET", invitations)).json()["items"]
    assert listed.get("obstacle") is None
    inviter = await branch.add_custom_role("inviter", "people_invite")
    assert (await branch.change_roles(reg, "clerk", inviter)).is_success
    [listed] = (await branch.administrator.ask("GET", invitations)).json()["items"]
    assert listed["obstacle"] == "inviter_lacks_role"


async def test_a_registrar_sees_the_requests_that_they_may_approve(
    branch: Organization, people: dict[str, Person]
) -> None:
    reg, requests = people["reg"], f"{branch.path}/access-requests"
    wanted = [{"role": "deputy"}, {"action": "counter_pay"}, {"role": "lead"}]
    asked = [
        await people["nora"].ask(
            "POST", requests, json={**what, "duration_hours": 5, "reason": "because"}
        )
        for what in wanted
    ]
    ids = [answer.json()["id"] for answer in asked]
    listed = {each["id"] for each in (await reg.ask("GET", requests)).json()["items"]}
    assert listed == set(ids[:2])
    for id, status in zip(ids, (200, 200, 404), strict=True):
        assert (await reg.ask("GET", f"{requests}/{id}")).status_code == status
    approval = {"role": "deputy"}
    approved = await reg.ask("POST", f"{requests}/{ids[1]}/approve", json=approval)
    assert approved.status_code == 200, approved.text
