"""What holds at every moment, whatever has happened."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.access.holdings import role_set_of
from teamaccess.relationships import Relationship, organization, user
from tests.histories.cast import Cast
from tests.histories.things import may_to_objects_what_was_given
from tests.support.sides import (
    entries,
    holdings,
    marked,
    markers_aside,
    newest,
    rows,
    told,
)
from tests.support.world import Person, Team

ACTIVE = """
SELECT 1 FROM memberships
WHERE organization_id = :organization AND user_id = :user AND suspended_at IS NULL
AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
HELD = """
SELECT role FROM role_assignments WHERE organization_id = :organization AND user_id = :user
AND (expires_at IS NULL OR expires_at > clock_timestamp())
UNION
SELECT role FROM team_roles JOIN team_memberships USING (organization_id, team_id)
WHERE organization_id = :organization AND user_id = :user
AND least(team_roles.expires_at, team_memberships.expires_at, 'infinity') > clock_timestamp()
"""


async def sides_agree(cast: Cast, team: Team) -> None:
    """What the rows mean is what the ledger tells, and SpiceDB has a beginning of that, or all."""
    now = await cast.world.service.now()
    ledger, everything = await entries(team), await holdings(team)
    there = marked(everything)
    arrived = ledger[: len(there)]
    assert there == {entry.position: entry.hash.hex()[:12] for entry in arrived}
    assert newest(everything) == {entry.position: entry.hash.hex()[:12] for entry in arrived[-1:]}
    if team.id not in cast.behind:
        assert len(arrived) == len(ledger)
    assert _living(await rows(team), now) == _living(told(ledger), now)
    assert _living(markers_aside(everything), now) == _living(told(arrived), now)


async def administered(cast: Cast, team: Team) -> None:
    """There is an active administrator without an end."""
    assert await cast.administrators(team)


async def may_what_the_roles_say(cast: Cast, team: Team, person: Person) -> None:
    """Active members hold the actions of the roles they hold now; whoever else holds nothing."""
    catalog = cast.world.service.catalog
    asked = {MEMBERSHIP, *(action.permission for action in catalog.actions.values())}
    permitted = await cast.world.service.engine.permitted(
        organization(team.id), asked, user(person.id)
    )
    expected = set()
    async with cast.world.service.reads() as session:
        keys = {"organization": team.id, "user": person.id}
        if await session.scalar(text(ACTIVE), keys):
            roles = (await session.scalars(text(HELD), keys)).all()
            held = (await role_set_of(session, catalog, team.id, roles)).actions_of(roles)
            expected = {MEMBERSHIP, *(catalog.actions[each].permission for each in held)}
    assert permitted == expected


def _living(relationships: Iterable[Relationship], now: datetime) -> set[Relationship]:
    return {each for each in relationships if not each.expired(now)}


async def hold(cast: Cast, step: int) -> None:
    """Everything, for every organization; the permissions of one person a step, in turn."""
    for team in cast.teams:
        await sides_agree(cast, team)
        await administered(cast, team)
    everybody = [(team, person) for team in cast.teams for person in cast.people(team)]
    everybody += [each for each in cast.machines if each[0] in cast.teams]
    team, person = everybody[step % len(everybody)]
    if team.id not in cast.behind:
        await may_what_the_roles_say(cast, team, person)
        await may_to_objects_what_was_given(cast, team, person)


async def hold_for_everybody(cast: Cast) -> None:
    """Everything, for everybody everywhere, once all has arrived."""
    for team in [*cast.teams, *cast.ended]:
        await sides_agree(cast, team)
        machines = [machine for where, machine in cast.machines if where.id == team.id]
        for person in [*cast.people(team), *machines]:
            await may_what_the_roles_say(cast, team, person)
            await may_to_objects_what_was_given(cast, team, person)
