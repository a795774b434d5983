"""What people do to an organization's teams; what the tests call a `Team` is the organization."""

from random import Random
from typing import Any

from tests.histories.cast import Cast
from tests.histories.deeds import LATER, End
from tests.support.world import Person, Team

IDS = ("pay", "ops")


async def something(cast: Cast, chance: Random) -> str:
    """Have somebody, mostly an administrator, do something to one of the teams."""
    team = chance.choice(cast.teams)
    people, rulers = cast.people(team), await cast.administrators(team)
    some = [each for each in people if each.id in rulers] if chance.random() < 0.75 else people
    by, id = chance.choice(some or people), chance.choice(IDS)
    deed, weights = [make, hold, put, take, leave, rename, end], [3, 5, 8, 3, 1, 1, 1]
    [happening] = chance.choices(deed, weights)
    return await happening(cast, team, by, id, chance)


async def make(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Make a team, perhaps one that there is already."""
    return await _ask(cast, team, by, "POST", "", {"id": id, "name": id.title()})


async def hold(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Have it hold some roles, among them perhaps one that no team may hold."""
    roles = chance.sample(cast.roles, chance.choice([0, 1, 1, 2]))
    wanted = [{"role": role, **await _end(cast, chance)} for role in roles]
    return await _ask(cast, team, by, "PUT", f"/{id}/roles", {"roles": wanted})


async def put(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Put somebody into it, or move the end of a place."""
    whom = chance.choice(cast.people(team))
    body = await _end(cast, chance)
    return await _ask(cast, team, by, "PUT", f"/{id}/members/{whom.id}", body)


async def take(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Take somebody out of it."""
    whom = chance.choice(cast.people(team))
    return await _ask(cast, team, by, "DELETE", f"/{id}/members/{whom.id}")


async def leave(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Leave it."""
    who = chance.choice(cast.people(team))
    return await _ask(cast, team, who, "DELETE", f"/{id}/members/{who.id}")


async def rename(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Call it something else, which is no change of who may do what."""
    return await _ask(cast, team, by, "PATCH", f"/{id}", {"name": "Another"})


async def end(cast: Cast, team: Team, by: Person, id: str, chance: Random) -> str:
    """Delete it."""
    return await _ask(cast, team, by, "DELETE", f"/{id}")


async def _end(cast: Cast, chance: Random) -> dict[str, Any]:
    end = chance.choice(list(End))
    if end not in LATER:
        return {}
    return {"expires_at": (await cast.world.service.now() + LATER[end]).isoformat()}


async def _ask(cast: Cast, team: Team, by: Person, method: str, path: str, body: Any = None) -> str:
    more = {"json": body} if body is not None else {}
    return cast.answered(team, await by.ask(method, f"{team.path}/teams{path}", **more))
