"""Machines in random histories: made, given tokens and roles, let act for people, and ended."""

from random import Random

from teamaccess.storage import UserId
from tests.histories import deeds
from tests.histories.cast import Cast
from tests.histories.team_deeds import IDS
from tests.support.machines import acting
from tests.support.world import Person, Team

MOST = 4


async def make(cast: Cast, chance: Random, team: Team, by: Person) -> str:
    """Make a machine with some roles, and a token for it."""
    if len(cast.machines) >= MOST:
        return "enough"
    roles = chance.sample(cast.roles, chance.choice([0, 1, 1, 2]))
    body = {"name": "Robot", "roles": roles}
    made = await by.ask("POST", f"{team.path}/service-accounts", json=body)
    if made.is_success:
        machine = Person(cast.world, UserId(made.json()["id"]), "", "ta_none_yet")
        cast.machines.append((team, machine))
        cast.answered(team, made)
        return await sign_in(cast, team, by, machine)
    return cast.answered(team, made)


async def sign_in(cast: Cast, team: Team, by: Person, machine: Person) -> str:
    """Make a token for a machine."""
    path = f"{team.path}/service-accounts/{machine.id}/tokens"
    answer = await by.ask("POST", path, json={"name": "one more"})
    if answer.is_success:
        machine.token = answer.json()["secret"]
    return cast.answered(team, answer)


async def something(cast: Cast, chance: Random) -> str:
    """Have somebody, mostly an administrator, make a machine or do something to one, or let it work."""
    team = chance.choice(cast.teams)
    people, rulers = cast.people(team), await cast.administrators(team)
    some = [each for each in people if each.id in rulers] if chance.random() < 0.75 else people
    by = chance.choice(some or people)
    if chance.random() < 0.3:
        return await make(cast, chance, team, by)
    return await stir(cast, chance, team, by)


async def stir(cast: Cast, chance: Random, team: Team, by: Person) -> str:
    """Do something to a machine of the organization, or let it do something."""
    mine = [machine for where, machine in cast.machines if where.id == team.id]
    if not mine:
        return deeds.NOTHING
    machine, person = chance.choice(mine), chance.choice(cast.people(team))
    roles = {
        role: chance.choice(list(deeds.End))
        for role in chance.sample(cast.roles, chance.choice([0, 1, 2]))
    }
    match chance.choice(["delete", "sign in", "roles", "team", "act", "work", "behalf", "behalf"]):
        case "delete":
            path = f"{team.path}/service-accounts/{machine.id}"
            return cast.answered(team, await by.ask("DELETE", path))
        case "sign in":
            return await sign_in(cast, team, by, machine)
        case "roles":
            return await deeds.change_roles(cast, team, by, machine, roles)
        case "team":
            path = f"{team.path}/teams/{chance.choice(IDS)}/members/{machine.id}"
            return cast.answered(team, await by.ask("PUT", path))
        case "act":
            verb = chance.choice(["suspend", "reactivate", "remove"])
            return cast.answered(team, await team.act(verb, machine, by=by))
        case "work":
            return await deeds.change_roles(cast, team, machine, person, roles)
        case _:
            whom = chance.choice(cast.people(team))
            return await deeds.change_roles(cast, team, acting(machine, whom.id), person, roles)
