"""What holds at every moment, whatever has happened."""

from collections.abc import Iterable
from datetime import datetime

from teamaccess.organizations.access import MEMBERSHIP
from teamaccess.relationships import Relationship, organization, user
from tests.ledger.cast import Cast
from tests.ledger.sides import entries, holdings, marked, markers_aside, rows, told
from tests.world import Person, Team


async def sides_agree(cast: Cast, team: Team) -> set[Relationship]:
    """What the rows mean is what the ledger tells, and SpiceDB has a beginning of that, or all.

    Returns what SpiceDB holds, expired relationships left out.
    """
    now = await cast.world.service.now()
    ledger, everything = await entries(team), await holdings(team)
    there, held = marked(everything), _living(markers_aside(everything), now)
    arrived = ledger[: len(there)]
    assert there == {entry.position: entry.hash.hex()[:12] for entry in arrived}
    if team.id not in cast.behind:
        assert len(arrived) == len(ledger)
    assert _living(await rows(team), now) == _living(told(ledger), now)
    assert held == _living(told(arrived), now)
    return held


async def administered(cast: Cast, team: Team) -> None:
    """There is an active administrator without an end."""
    assert await cast.administrators(team)


async def may_what_the_roles_say(
    cast: Cast, team: Team, person: Person, held: set[Relationship]
) -> None:
    """Whoever is a member holds the actions of their roles, and whoever is not holds nothing."""
    catalog = cast.world.service.catalog
    relations = {each.relation for each in held if each.subject.object == user(person.id)}
    expected = set()
    if "member" in relations:
        actions = catalog.actions_of(relations - {"member"})
        expected = {MEMBERSHIP, *(catalog.actions[each].permission for each in actions)}
    asked = {MEMBERSHIP, *(action.permission for action in catalog.actions.values())}
    permitted = await cast.world.service.engine.permitted(
        organization(team.id), asked, user(person.id)
    )
    assert permitted == expected


def _living(relationships: Iterable[Relationship], now: datetime) -> set[Relationship]:
    return {each for each in relationships if not each.expired(now)}


async def hold(cast: Cast, step: int) -> None:
    """Everything, for every organization; the permissions of one person a step, in turn."""
    held = {team.id: await sides_agree(cast, team) for team in [*cast.teams, *cast.ended]}
    for team in cast.teams:
        await administered(cast, team)
    everybody = [(team, person) for team in cast.teams for person in cast.people(team)]
    team, person = everybody[step % len(everybody)]
    await may_what_the_roles_say(cast, team, person, held[team.id])


async def hold_for_everybody(cast: Cast) -> None:
    """Everything, for everybody everywhere, once all has arrived."""
    for team in [*cast.teams, *cast.ended]:
        held = await sides_agree(cast, team)
        for person in cast.people(team):
            await may_what_the_roles_say(cast, team, person, held)
