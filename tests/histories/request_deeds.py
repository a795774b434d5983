"""What people ask for, and what others decide about it."""

from random import Random

from sqlalchemy import select

from teamaccess.storage import AccessRequest
from tests.histories.cast import Cast
from tests.histories.deeds import NOTHING
from tests.support.world import Person, Team


async def something(cast: Cast, chance: Random) -> str:
    """Have somebody ask, or somebody, mostly an administrator, decide."""
    team = chance.choice(cast.teams)
    people = cast.people(team)
    if chance.random() < 0.4:
        return await ask(cast, team, chance.choice(people), chance)
    rulers = await cast.administrators(team)
    some = [each for each in people if each.id in rulers] if chance.random() < 0.75 else people
    return await decide(cast, team, chance.choice(some or people), chance)


async def ask(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Ask for a role, or for an action, for some hours."""
    actions = sorted(cast.world.service.catalog.actions)
    wanted = chance.choice(
        [{"role": chance.choice(cast.roles)}, {"action": chance.choice(actions)}]
    )
    body = {**wanted, "reason": "a case", "duration_hours": chance.choice([1, 24, 1000])}
    return cast.answered(team, await by.ask("POST", f"{team.path}/access-requests", json=body))


async def decide(cast: Cast, team: Team, by: Person, chance: Random) -> str:
    """Decide on one of the newest requests, perhaps decided ones, or withdraw it."""
    async with cast.world.service.reads() as session:
        newest = await session.scalars(
            select(AccessRequest)
            .where(AccessRequest.organization_id == team.id)
            .order_by(AccessRequest.requested_at.desc())
            .limit(5)
        )
        found = list(newest)
    if not found:
        return NOTHING
    request = chance.choice(found)
    verb = chance.choice(["approve", "approve", "approve", "decline", "withdraw"])
    body: dict[str, object] = {}
    if verb == "approve" and request.action is not None:
        body = {"role": chance.choice(cast.roles)}
    path = f"{team.path}/access-requests/{request.id}/{verb}"
    return cast.answered(team, await by.ask("POST", path, json=body))
