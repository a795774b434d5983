"""Operations on teams over the API."""

from random import Random
from typing import Any

from tests.histories.member_operations import LATER, RoleEnd
from tests.histories.simulation import Simulation
from tests.support.organization import Organization
from tests.support.people import Person

IDS = ("pay", "ops")


async def team_operation(simulation: Simulation, chance: Random) -> str:
    """Change one of the teams as a member, mostly an administrator."""
    organization = chance.choice(simulation.organizations)
    people, administrators = (
        simulation.people(organization),
        await simulation.administrators(organization),
    )
    some = (
        [each for each in people if each.id in administrators] if chance.random() < 0.75 else people
    )
    by, id = chance.choice(some or people), chance.choice(IDS)
    operation, weights = (
        [create, set_roles, add, remove, leave, rename, delete],
        [3, 5, 8, 3, 1, 1, 1],
    )
    [happening] = chance.choices(operation, weights)
    return await happening(simulation, organization, by, id, chance)


async def create(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Create a team whose id may be in use."""
    return await _ask(simulation, organization, by, "POST", "", {"id": id, "name": id.title()})


async def set_roles(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Replace the roles of the team, perhaps with one that teams may not hold."""
    roles = chance.sample(simulation.roles, chance.choice([0, 1, 1, 2]))
    wanted = [{"role": role, **await _end(simulation, chance)} for role in roles]
    return await _ask(simulation, organization, by, "PUT", f"/{id}/roles", {"roles": wanted})


async def add(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Add a member, or move the expiry of a team membership."""
    target = chance.choice(simulation.people(organization))
    body = await _end(simulation, chance)
    return await _ask(simulation, organization, by, "PUT", f"/{id}/members/{target.id}", body)


async def remove(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Remove a member from the team."""
    target = chance.choice(simulation.people(organization))
    return await _ask(simulation, organization, by, "DELETE", f"/{id}/members/{target.id}")


async def leave(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Leave the team."""
    who = chance.choice(simulation.people(organization))
    return await _ask(simulation, organization, who, "DELETE", f"/{id}/members/{who.id}")


async def rename(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Rename the team, which changes no access."""
    return await _ask(simulation, organization, by, "PATCH", f"/{id}", {"name": f"Another {id}"})


async def delete(
    simulation: Simulation, organization: Organization, by: Person, id: str, chance: Random
) -> str:
    """Delete the team."""
    return await _ask(simulation, organization, by, "DELETE", f"/{id}")


async def _end(simulation: Simulation, chance: Random) -> dict[str, Any]:
    end = chance.choice(list(RoleEnd))
    if end not in LATER:
        return {}
    return {"expires_at": (await simulation.deployment.service.now() + LATER[end]).isoformat()}


async def _ask(
    simulation: Simulation,
    organization: Organization,
    by: Person,
    method: str,
    path: str,
    body: Any = None,
) -> str:
    more = {"json": body} if body is not None else {}
    return simulation.record_answer(
        organization, await by.ask(method, f"{organization.path}/teams{path}", **more)
    )
