"""The steps of a random history: each picks an operation, an actor and a target."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.histories import (
    access_request_operations,
    member_operations,
    resource_operations,
    role_operations,
    service_account_operations,
    sql_maintenance,
    team_operations,
)
from tests.histories.simulation import Simulation
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import Writes

Step = Callable[[Simulation, Random], Awaitable[object]]


async def take_random_step(simulation: Simulation, chance: Random) -> str:
    """Take a step. Returns a description."""
    [happening] = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    outcome = await happening(simulation, chance)
    return f"{happening.__name__}: {outcome}"


async def add_first_members(simulation: Simulation, chance: Random) -> None:
    """Before a history begins, a few people have joined."""
    for invitee in simulation.invitees[:3]:
        organization = chance.choice(simulation.organizations)
        role = chance.choice(simulation.roles[1:])
        await member_operations.invite(
            simulation, organization, organization.administrator, invitee, [role]
        )
        await member_operations.accept(simulation, invitee, -1, None)


async def invitation(simulation: Simulation, chance: Random) -> object:
    organization, by = await _scene(simulation, chance)
    roles = chance.sample(simulation.every_role, chance.choice([0, 1, 1, 2]))
    return await member_operations.invite(
        simulation, organization, by, chance.choice(simulation.invitees), roles
    )


async def resending(simulation: Simulation, chance: Random) -> object:
    return await member_operations.resend(
        simulation, *await _scene(simulation, chance), chance.randrange(5)
    )


async def cancelling(simulation: Simulation, chance: Random) -> object:
    return await member_operations.cancel(
        simulation, *await _scene(simulation, chance), chance.randrange(5)
    )


async def acceptance(simulation: Simulation, chance: Random) -> object:
    invitee = chance.choice(
        [each for each in simulation.invitees if each.secrets] or simulation.invitees
    )
    stranger = chance.choice([None, None, None, *simulation.invitees])
    return await member_operations.accept(
        simulation, invitee, chance.choice([-1, -1, -1, 0, 1]), stranger
    )


async def change_of_roles(simulation: Simulation, chance: Random) -> object:
    organization, by = await _scene(simulation, chance)
    roles = chance.sample(simulation.every_role, chance.choice([0, 1, 1, 2, 3]))
    wanted = {role: chance.choice(list(member_operations.RoleEnd)) for role in roles}
    return await member_operations.change_roles(
        simulation, organization, by, _whom(simulation, chance, organization), wanted
    )


async def act(simulation: Simulation, chance: Random) -> object:
    organization, by = await _scene(simulation, chance)
    verb = chance.choice(["suspend", "reactivate", "remove"])
    return await member_operations.change_status(
        simulation, organization, by, _whom(simulation, chance, organization), verb
    )


async def leaving(simulation: Simulation, chance: Random) -> object:
    organization = chance.choice(simulation.organizations)
    return await member_operations.leave(
        simulation, organization, _whom(simulation, chance, organization)
    )


async def renaming(simulation: Simulation, chance: Random) -> object:
    return await member_operations.rename(simulation, *await _scene(simulation, chance))


async def ending(simulation: Simulation, chance: Random) -> object:
    return await member_operations.delete_organization(
        simulation, *await _scene(simulation, chance)
    )


async def founding(simulation: Simulation, chance: Random) -> object:
    if len(simulation.organizations) >= 3:
        return "enough"
    return await member_operations.create_organization(
        simulation, _whom(simulation, chance, chance.choice(simulation.organizations))
    )


async def grant(simulation: Simulation, chance: Random) -> object:
    return await member_operations.grant_administrator_role(
        simulation, chance.choice(simulation.organizations), chance.choice(simulation.invitees)
    )


async def registering(simulation: Simulation, chance: Random) -> object:
    return await resource_operations.register_one(
        simulation, *await _scene(simulation, chance), chance
    )


async def removal_of_an_object(simulation: Simulation, chance: Random) -> object:
    return await resource_operations.remove_one(
        simulation, *await _scene(simulation, chance), chance
    )


async def many_objects(simulation: Simulation, chance: Random) -> object:
    return await resource_operations.change_several(
        simulation, *await _scene(simulation, chance), chance
    )


async def granting(simulation: Simulation, chance: Random) -> object:
    return await resource_operations.change_grants(
        simulation, *await _scene(simulation, chance), chance
    )


async def change_of_a_role(simulation: Simulation, chance: Random) -> object:
    return await role_operations.role_operation(
        simulation, *await _scene(simulation, chance), chance
    )


async def maintenance(simulation: Simulation, chance: Random) -> object:
    here, there = chance.choice(simulation.organizations), chance.choice(simulation.organizations)
    script = [
        (chance.choice(sql_maintenance.STATEMENTS), chance.random() < 0.7)
        for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    end = chance.choice(list(sql_maintenance.Outcome))
    role = chance.choice(simulation.roles)
    return await sql_maintenance.run(
        simulation, here, there, script, chance.randrange(5), role, end
    )


async def sweeping(simulation: Simulation, chance: Random) -> object:
    return await member_operations.sweep(simulation, chance.choice(simulation.organizations))


async def broken_link(simulation: Simulation, chance: Random) -> object:
    if simulation.proxy.writes is Writes.ARRIVE:
        simulation.proxy.writes = chance.choice([Writes.FAIL, Writes.LOSE_ANSWERS])
        return simulation.proxy.writes
    await simulation.repair()
    return "mended"


WEIGHTS: dict[Any, int] = {
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
    service_account_operations.service_account_operation: 16,
    access_request_operations.access_request_operation: 16,
    team_operations.team_operation: 24,
    change_of_a_role: 18,
    sweeping: 8,
    registering: 10,
    removal_of_an_object: 3,
    many_objects: 4,
    granting: 12,
    broken_link: 8,
}


async def _scene(simulation: Simulation, chance: Random) -> tuple[Organization, Person]:
    """A random organization, and mostly one of its administrators."""
    organization = chance.choice(simulation.organizations)
    people = simulation.people(organization)
    administrators = await simulation.administrators(organization)
    some = (
        [each for each in people if each.id in administrators] if chance.random() < 0.75 else people
    )
    return organization, chance.choice(some or people)


def _whom(simulation: Simulation, chance: Random, organization: Organization) -> Person:
    return chance.choice(simulation.people(organization))
