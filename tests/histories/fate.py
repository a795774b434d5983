"""What happens next in a random history: who does what to whom."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.histories import (
    deeds,
    machine_deeds,
    request_deeds,
    role_deeds,
    scripts,
    team_deeds,
    things,
)
from tests.histories.cast import Cast
from tests.support.spicedb_proxy import Writes
from tests.support.world import Person, Team

Happening = Callable[[Cast, Random], Awaitable[object]]


async def something(cast: Cast, chance: Random) -> str:
    """Let something happen; return what it was."""
    [happening] = chance.choices(list(CHANCES), list(CHANCES.values()))
    outcome = await happening(cast, chance)
    return f"{happening.__name__}: {outcome}"


async def prelude(cast: Cast, chance: Random) -> None:
    """Before a history begins, a few people have joined."""
    for guest in cast.guests[:3]:
        team = chance.choice(cast.teams)
        role = chance.choice(cast.roles[1:])
        await deeds.invite(cast, team, team.administrator, guest, [role])
        await deeds.accept(cast, guest, -1, None)


async def invitation(cast: Cast, chance: Random) -> object:
    team, by = await _scene(cast, chance)
    roles = chance.sample(cast.every_role, chance.choice([0, 1, 1, 2]))
    return await deeds.invite(cast, team, by, chance.choice(cast.guests), roles)


async def resending(cast: Cast, chance: Random) -> object:
    return await deeds.resend(cast, *await _scene(cast, chance), chance.randrange(5))


async def cancelling(cast: Cast, chance: Random) -> object:
    return await deeds.cancel(cast, *await _scene(cast, chance), chance.randrange(5))


async def acceptance(cast: Cast, chance: Random) -> object:
    guest = chance.choice([each for each in cast.guests if each.secrets] or cast.guests)
    stranger = chance.choice([None, None, None, *cast.guests])
    return await deeds.accept(cast, guest, chance.choice([-1, -1, -1, 0, 1]), stranger)


async def change_of_roles(cast: Cast, chance: Random) -> object:
    team, by = await _scene(cast, chance)
    roles = chance.sample(cast.every_role, chance.choice([0, 1, 1, 2, 3]))
    wanted = {role: chance.choice(list(deeds.End)) for role in roles}
    return await deeds.change_roles(cast, team, by, _whom(cast, chance, team), wanted)


async def act(cast: Cast, chance: Random) -> object:
    team, by = await _scene(cast, chance)
    verb = chance.choice(["suspend", "reactivate", "remove"])
    return await deeds.act(cast, team, by, _whom(cast, chance, team), verb)


async def leaving(cast: Cast, chance: Random) -> object:
    team = chance.choice(cast.teams)
    return await deeds.leave(cast, team, _whom(cast, chance, team))


async def renaming(cast: Cast, chance: Random) -> object:
    return await deeds.rename(cast, *await _scene(cast, chance))


async def ending(cast: Cast, chance: Random) -> object:
    return await deeds.end(cast, *await _scene(cast, chance))


async def founding(cast: Cast, chance: Random) -> object:
    if len(cast.teams) >= 3:
        return "enough"
    return await deeds.found(cast, _whom(cast, chance, chance.choice(cast.teams)))


async def grant(cast: Cast, chance: Random) -> object:
    return await deeds.grant(cast, chance.choice(cast.teams), chance.choice(cast.guests))


async def registering(cast: Cast, chance: Random) -> object:
    return await things.registering(cast, *await _scene(cast, chance), chance)


async def removal_of_an_object(cast: Cast, chance: Random) -> object:
    return await things.removal(cast, *await _scene(cast, chance), chance)


async def many_objects(cast: Cast, chance: Random) -> object:
    return await things.many(cast, *await _scene(cast, chance), chance)


async def granting(cast: Cast, chance: Random) -> object:
    return await things.granting(cast, *await _scene(cast, chance), chance)


async def change_of_a_role(cast: Cast, chance: Random) -> object:
    return await role_deeds.role_deed(cast, *await _scene(cast, chance), chance)


async def maintenance(cast: Cast, chance: Random) -> object:
    here, there = chance.choice(cast.teams), chance.choice(cast.teams)
    script = [
        (chance.choice(scripts.STATEMENTS), chance.random() < 0.7)
        for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    end = chance.choice(list(scripts.Ending))
    role = chance.choice(cast.roles)
    return await scripts.run(cast, here, there, script, chance.randrange(5), role, end)


async def sweeping(cast: Cast, chance: Random) -> object:
    return await deeds.sweep(cast, chance.choice(cast.teams))


async def broken_link(cast: Cast, chance: Random) -> object:
    if cast.link.writes is Writes.ARRIVE:
        cast.link.writes = chance.choice([Writes.FAIL, Writes.LOSE_ANSWERS])
        return cast.link.writes
    await cast.mend()
    return "mended"


CHANCES: dict[Any, int] = {
    invitation: 14,
    acceptance: 14,
    change_of_roles: 14,
    act: 16,
    maintenance: 16,
    resending: 4,
    cancelling: 4,
    leaving: 3,
    renaming: 2,
    ending: 1,
    founding: 2,
    grant: 4,
    machine_deeds.something: 16,
    request_deeds.something: 16,
    team_deeds.something: 24,
    change_of_a_role: 18,
    sweeping: 8,
    registering: 10,
    removal_of_an_object: 3,
    many_objects: 4,
    granting: 12,
    broken_link: 8,
}


async def _scene(cast: Cast, chance: Random) -> tuple[Team, Person]:
    """Some organization, and mostly somebody who may do something there."""
    team = chance.choice(cast.teams)
    people = cast.people(team)
    rulers = await cast.administrators(team)
    some = [each for each in people if each.id in rulers] if chance.random() < 0.75 else people
    return team, chance.choice(some or people)


def _whom(cast: Cast, chance: Random, team: Team) -> Person:
    return chance.choice(cast.people(team))
