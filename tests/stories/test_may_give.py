"""A registrar gives and takes exactly the roles that the catalog names, without holding their actions."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.agreement import assert_agreement
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
