"""Nobody gives what they do not have through a team, and nobody acts on those above them there. Told of
a bank, whose lead manages teams without being able to do everything."""

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
from tests.support.sides import agreed
from tests.support.steps import enlist, refused
from tests.support.teams import Crew
from tests.support.world import Person, Team

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
async def people(branch: Team) -> dict[str, Person]:
    return await enlist(branch, PEOPLE)


@pytest.fixture
async def desk(branch: Team) -> Crew:
    """A team that holds what every lead has."""
    return await Crew.made(branch, "desk", "clerk")


@pytest.fixture
async def books(branch: Team) -> Crew:
    """A team that holds what no lead has."""
    return await Crew.made(branch, "books", "auditor")


async def test_a_lead_gives_through_a_team_what_a_lead_has(
    branch: Team, people: dict[str, Person], desk: Crew
) -> None:
    lea, nora = people["lea"], people["nora"]
    assert (await desk.put(nora, by=lea)).status_code == 200
    assert (await desk.hold("clerk", "deputy", by=lea)).status_code == 200
    assert await branch.can(nora, "counter_pay")
    assert (await desk.take(nora, by=lea)).status_code == 204
    assert (await desk.delete(by=lea)).status_code == 204


async def test_a_lead_puts_nobody_into_a_team_that_holds_more_not_even_herself(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea = people["lea"]
    for whom in ("nora", "lea", "ada"):
        problem = refused(await books.put(people[whom], by=lea), 403, "role_beyond_giver")
        assert problem["missing"] == ["house_audit"]
    assert await books.seated() == []


async def test_an_ended_role_of_the_team_counts_until_it_is_gone(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    await books.end_role("auditor", PAST)
    refused(await books.put(people["nora"], by=people["lea"]), 403, "role_beyond_giver")


async def test_a_lead_gives_a_team_nothing_beyond_and_nobody_an_operator_s_role(
    branch: Team, people: dict[str, Person], desk: Crew
) -> None:
    lea = people["lea"]
    refused(await desk.hold("clerk", "auditor", by=lea), 403, "role_beyond_giver")
    for role in ("owner", "custodian"):
        refused(await desk.hold("clerk", role, by=lea), 409, "role_not_for_teams")
        refused(await desk.hold(role), 409, "role_not_for_teams")


async def test_a_later_end_is_giving_and_an_earlier_one_is_acting_on_somebody(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.put(nora, SOON)

    for later in (LATER, None):
        refused(await books.put(nora, later, by=lea), 403, "role_beyond_giver")
    refused(await books.put(nora, SOON - timedelta(days=1), by=lea), 403, "team_above_actor")
    assert (await books.put(nora, SOON, by=lea)).status_code == 200  # as it is already

    await books.end_place(nora, PAST)
    refused(await books.put(nora, SOON, by=lea), 403, "role_beyond_giver")


async def test_a_role_of_a_team_that_ends_later_is_given_again(
    branch: Team, people: dict[str, Person], desk: Crew
) -> None:
    lea = people["lea"]
    await desk.hold("clerk", auditor=SOON)
    refused(await desk.hold("clerk", auditor=LATER, by=lea), 403, "role_beyond_giver")
    refused(await desk.hold("clerk", "auditor", by=lea), 403, "role_beyond_giver")


async def test_nobody_acts_on_those_above_them_in_a_team(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.put(nora)

    for answer in (
        await books.take(nora, by=lea),
        await books.hold(by=lea),
        await books.hold("auditor", "clerk", by=lea),
        await books.delete(by=lea),
    ):
        problem = refused(answer, 403, "team_above_actor")
        assert problem["missing"] == ["house_audit"]
    assert await books.seated() == [nora.id]
    await agreed(branch)


async def test_what_a_team_holds_in_which_nobody_else_is_anybody_may_take_who_manages_teams(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea = people["lea"]
    assert (await books.hold("clerk", by=lea)).status_code == 200
    await books.hold("auditor")
    assert (await books.delete(by=lea)).status_code == 204


async def test_what_is_from_a_team_puts_somebody_above_others(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.put(nora)
    for verb in ("suspend", "remove"):
        refused(await branch.act(verb, nora, by=lea), 403, "member_above_actor")
    refused(await branch.change_roles(nora, "clerk", by=lea), 403, "member_above_actor")
    await books.take(nora)
    assert (await branch.act("remove", nora, by=lea)).status_code == 204


async def test_what_is_from_a_team_can_be_given_on(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    lea, nora = people["lea"], people["nora"]
    await books.put(lea)
    assert (await books.put(nora, by=lea)).status_code == 200
    assert (await branch.change_roles(nora, "auditor", by=lea)).status_code == 200
    await books.take(lea, by=lea)
    refused(await branch.change_roles(people["dan"], "auditor", by=lea), 403, "role_beyond_giver")


async def test_a_team_is_left_without_permission_and_others_are_not_taken_out_of_it(
    branch: Team, people: dict[str, Person], books: Crew
) -> None:
    carl, nora = people["carl"], people["nora"]
    await books.put(carl)
    await books.put(nora)

    refused(await books.take(nora, by=carl), 403, "missing_permission")
    assert (await books.take(carl, by=carl)).status_code == 204

    assert await books.seated() == [nora.id]
    refused(await books.take(carl, by=carl), 403, "missing_permission")
    refused(await books.take(carl), 404, "not_in_team")
    await branch.act("suspend", nora)
    refused(await books.take(nora, by=nora), 404, "unknown_organization")


async def test_a_team_that_may_do_something_to_one_object_gives_that(acme: Team) -> None:
    cem, bob = (await enlist(acme, {"cem": [], "bob": []})).values()
    links = await Crew.made(acme, "links")
    held = ["teams_manage", "users_access", "refunds_create"]
    async with acme.world.operator(acme.id) as change:
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

    problem = refused(await links.put(bob, by=cem), 403, "role_beyond_giver")
    assert problem["missing"] == ["links_edit"]
    added = await links.put(bob)
    token = added.headers["Zed-Token"]
    assert await acme.world.check(acme.id, bob.id, "edit", token, link)
    refused(await links.take(bob, by=cem), 403, "team_above_actor")
    refused(await links.delete(by=cem), 403, "team_above_actor")

    gone = await links.delete()
    assert not await acme.world.check(acme.id, bob.id, "edit", gone.headers["Zed-Token"], link)
    ours = await Crew.made(acme, "ours")
    assert (await ours.hold("captain", by=cem)).status_code == 200
    assert (await ours.put(bob, by=cem)).status_code == 200
    assert await acme.can(bob, "refunds_create")
    refused(await ours.hold("captain", "support", by=cem), 403, "role_beyond_giver")
    await agreed(acme)
