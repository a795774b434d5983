"""Access requests and decisions in random histories."""

from random import Random

from sqlalchemy import select

from teamaccess.storage import AccessRequest
from tests.histories.member_operations import NOTHING
from tests.histories.simulation import Simulation
from tests.support.organization import Organization
from tests.support.people import Person


async def access_request_operation(simulation: Simulation, chance: Random) -> str:
    """Request access as a member, or decide as a member, mostly an administrator."""
    organization = chance.choice(simulation.organizations)
    people = simulation.people(organization)
    if chance.random() < 0.4:
        return await ask(simulation, organization, chance.choice(people), chance)
    administrators = await simulation.administrators(organization)
    some = (
        [each for each in people if each.id in administrators] if chance.random() < 0.75 else people
    )
    return await decide(simulation, organization, chance.choice(some or people), chance)


async def ask(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Request a role or an action for some hours."""
    actions = sorted(simulation.deployment.service.catalog.actions)
    wanted = chance.choice(
        [{"role": chance.choice(simulation.roles)}, {"action": chance.choice(actions)}]
    )
    body = {**wanted, "reason": "a case", "duration_hours": chance.choice([1, 24, 1000])}
    return simulation.record_answer(
        organization, await by.ask("POST", f"{organization.path}/access-requests", json=body)
    )


async def decide(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Decide on one of the newest requests, perhaps decided ones, or withdraw it."""
    async with simulation.deployment.service.reads() as session:
        newest = await session.scalars(
            select(AccessRequest)
            .where(AccessRequest.organization_id == organization.id)
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
        body = {"role": chance.choice(simulation.roles)}
    path = f"{organization.path}/access-requests/{request.id}/{verb}"
    return simulation.record_answer(organization, await by.ask("POST", path, json=body))
