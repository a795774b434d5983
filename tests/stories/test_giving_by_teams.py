"""Members give through a team only what they hold, and cannot act there on members above them.

The stories use the bank, whose lead manages teams without holding everything.
"""

from datetime import UTC, datetime, timedelta

import pytest

from teamaccess.storage import (
    CustomRole,
    CustomRoleAction,
    Grant,
    HolderKind,
    Resource,
    ResourceId,
    RoleAssignment,
    RoleId,
)
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.teams import Team

NOW = datetime.now(UTC)
SOON, LATER, PAST = (NOW + timedelta(days=days) for days in (30, 60, -1))
PEOPLE = {
    "lea": ["lead"],
    "dan": ["deputy"],
    "ada": ["auditor"],
    "carl": ["clerk"],
    "nora": [],
}


@pytest.fixture
async def people(branch: Organization) -> dict[str, Person]:
    return await branch.add_members(PEOPLE)


@pytest.fixture
async def desk(branch: Organization) -> Team:
    """A team that holds what every lead holds."""
    return await Team.create(branch, "desk", "clerk")


@pytest.fixture
async def books(branch: Organization) -> Team:
    """A team that holds more than any lead."""
    return await Team.create(branch, "books", "auditor")


async def test_a_lead_gives_through_a_team_what_the_lead_holds(
    branch: Organization, people: dict[str, Person], desk: Team
) -> None:
    lea, nora = people["lea"], people["nora"]
    assert (await desk.add_member(nora, by=lea)).status_code == 200
    assert (await desk.set_roles("clerk", "deputy", by=lea)).status_code == 200
    assert await branch.can(nora, "counter_pay")
    assert (await desk.remove_member(nora, by=lea)).status_code == 204
    assert (await desk.delete(by=lea)).status_code == 204


async def test_a_lead_adds_nobody_to_a_team_that_holds_more_including_themselves(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea = people["lea"]
    for target in ("nora", "lea", "ada"):
        problem = refused(await books.add_member(people[target], by=lea), 403, "role_beyond_giver")
        assert problem["missing"] == ["house_audit"]
    assert await books.member_ids() == []


async def test_an_expired_role_of_the_team_counts_until_it_is_removed(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    await books.set_role_expiry("auditor", PAST)
    refused(await books.add_member(people["nora"], by=people["lea"]), 403, "role_beyond_giver")


async def test_a_lead_gives_a_team_no_role_beyond_their_own_and_no_operators_role(
    branch: Organization, people: dict[str, Person], desk: Team
) -> None:
    lea = people["lea"]
    refused(await desk.set_roles("clerk", "auditor", by=lea), 403, "role_beyond_giver")
    for role in ("owner", "custodian"):
        refused(await desk.set_roles("clerk", role, by=lea), 409, "role_not_for_teams")
        refused(await desk.set_roles(role), 409, "role_not_for_teams")


async def test_a_later_expiry_is_giving_and_an_earlier_one_is_acting_on_the_member(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.add_member(nora, SOON)

    for later in (LATER, None):
        refused(await books.add_member(nora, later, by=lea), 403, "role_beyond_giver")
    refused(await books.add_member(nora, SOON - timedelta(days=1), by=lea), 403, "team_above_actor")
    assert (await books.add_member(nora, SOON, by=lea)).status_code == 200  # as it is already

    await books.set_membership_expiry(nora, PAST)
    refused(await books.add_member(nora, SOON, by=lea), 403, "role_beyond_giver")


async def test_extending_a_role_of_a_team_is_giving_it_again(
    branch: Organization, people: dict[str, Person], desk: Team
) -> None:
    lea = people["lea"]
    await desk.set_roles("clerk", auditor=SOON)
    refused(await desk.set_roles("clerk", auditor=LATER, by=lea), 403, "role_beyond_giver")
    refused(await desk.set_roles("clerk", "auditor", by=lea), 403, "role_beyond_giver")


async def test_members_cannot_act_on_members_above_them_in_a_team(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.add_member(nora)

    for answer in (
        await books.remove_member(nora, by=lea),
        await books.set_roles(by=lea),
        await books.set_roles("auditor", "clerk", by=lea),
        await books.delete(by=lea),
    ):
        problem = refused(answer, 403, "team_above_actor")
        assert problem["missing"] == ["house_audit"]
    assert await books.member_ids() == [nora.id]
    await assert_agreement(branch)


async def test_a_team_manager_may_remove_roles_from_a_team_with_no_other_member(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea = people["lea"]
    assert (await books.set_roles("clerk", by=lea)).status_code == 200
    await books.set_roles("auditor")
    assert (await books.delete(by=lea)).status_code == 204


async def test_roles_from_a_team_count_for_rank(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.add_member(nora)
    for verb in ("suspend", "remove"):
        refused(await branch.change_status(verb, nora, by=lea), 403, "member_above_actor")
    refused(await branch.change_roles(nora, "clerk", by=lea), 403, "member_above_actor")
    await books.remove_member(nora)
    assert (await branch.remove(nora, by=lea)).status_code == 204


async def test_roles_from_a_team_can_be_given(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.add_member(lea)
    assert (await books.add_member(nora, by=lea)).status_code == 200
    assert (await branch.change_roles(nora, "auditor", by=lea)).status_code == 200
    await books.remove_member(lea, by=lea)
    refused(await branch.change_roles(people["dan"], "auditor", by=lea), 403, "role_beyond_giver")


async def test_members_may_leave_a_team_but_need_permission_to_remove_others(
    branch: Organization, people: dict[str, Person], books: Team
) -> None:
    carl, nora = people["carl"], people["nora"]
    await books.add_member(carl)
    await books.add_member(nora)

    refused(await books.remove_member(nora, by=carl), 403, "missing_permission")
    assert (await books.remove_member(carl, by=carl)).status_code == 204

    assert await books.member_ids() == [nora.id]
    refused(await books.remove_member(carl, by=carl), 403, "missing_permission")
    refused(await books.remove_member(carl), 404, "not_in_team")
    await branch.suspend(nora)
    refused(await books.remove_member(nora, by=nora), 404, "unknown_organization")


async def test_adding_a_member_to_a_team_gives_the_grants_of_the_team(acme: Organization) -> None:
    cem, bob = (await acme.add_members({"cem": [], "bob": []})).values()
    links = await Team.create(acme, "links")
    held = ["teams_manage", "users_access", "refunds_create"]
    async with acme.deployment.operator(acme.id) as change:
        captain = CustomRole(organization_id=acme.id, id=RoleId("captain"), name="Captain")
        captain.allowed = [CustomRoleAction(action=action) for action in held]
        change.session.add_all(
            [captain, Resource(organization_id=acme.id, type="link", id=ResourceId("l1"))]
        )
        await change.session.flush()
        change.session.add_all(
            [
                RoleAssignment(
                    organization_id=acme.id, user_id=cem.id, role=captain.id, custom=True
                ),
                Grant(
                    organization_id=acme.id,
                    type="link",
                    resource_id=ResourceId("l1"),
                    action="edit",
                    holder_kind=HolderKind.TEAM,
                    holder=links.id,
                    granted_by=acme.administrator.id,
                ),
            ]
        )
    link = f"link:{acme.id}/l1"

    problem = refused(await links.add_member(bob, by=cem), 403, "role_beyond_giver")
    assert problem["missing"] == ["links_edit"]
    added = await links.add_member(bob)
    token = added.headers["Zed-Token"]
    assert await acme.deployment.check(acme.id, bob.id, "edit", token, link)
    refused(await links.remove_member(bob, by=cem), 403, "team_above_actor")
    refused(await links.delete(by=cem), 403, "team_above_actor")

    gone = await links.delete()
    assert not await acme.deployment.check(acme.id, bob.id, "edit", gone.headers["Zed-Token"], link)
    ours = await Team.create(acme, "ours")
    assert (await ours.set_roles("captain", by=cem)).status_code == 200
    assert (await ours.add_member(bob, by=cem)).status_code == 200
    assert await acme.can(bob, "refunds_create")
    refused(await ours.set_roles("captain", "support", by=cem), 403, "role_beyond_giver")
    await assert_agreement(acme)
