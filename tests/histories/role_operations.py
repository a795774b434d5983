"""Operations on custom roles over the API."""

from random import Random
from typing import Any

from tests.histories.simulation import CUSTOM_ROLES, Simulation
from tests.support.organization import Organization
from tests.support.people import Person


async def role_operation(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Create, clone, replace or delete a custom role."""
    operation = chance.choice([make, make, clone, replace, replace, delete])
    return await operation(simulation, organization, by, chance)


async def make(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Create a custom role with some actions, of which a few may be reserved."""
    return await _post(simulation, organization, by, chance, actions=_actions(simulation, chance))


async def clone(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Clone a role."""
    return await _post(
        simulation, organization, by, chance, clone_of=chance.choice(simulation.every_role)
    )


async def replace(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Replace the actions of a role."""
    id = chance.choice(CUSTOM_ROLES)
    body = {"name": f"Other {id}", "actions": _actions(simulation, chance)}
    path = f"{organization.path}/roles/{id}"
    return simulation.record_answer(organization, await by.ask("PUT", path, json=body))


async def delete(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Delete a role. Reassign its holders to another role or to none, or leave that out."""
    instead = chance.choice(
        ["", "?reassign=none", f"?reassign={chance.choice(simulation.every_role)}"]
    )
    path = f"{organization.path}/roles/{chance.choice(CUSTOM_ROLES)}{instead}"
    return simulation.record_answer(organization, await by.ask("DELETE", path))


async def _post(
    simulation: Simulation, organization: Organization, by: Person, chance: Random, **made_of: Any
) -> str:
    id = chance.choice(CUSTOM_ROLES)
    body = {"id": id, "name": f"Own {id}", **made_of}
    return simulation.record_answer(
        organization, await by.ask("POST", f"{organization.path}/roles", json=body)
    )


def _actions(simulation: Simulation, chance: Random) -> list[Any]:
    actions = list(simulation.deployment.service.catalog.actions.values())
    named: list[Any] = [each.id for each in chance.sample(actions, chance.choice([0, 1, 3]))]
    like = chance.choice(actions)
    return [*named, {"resource": like.resource, "level": like.level}]
