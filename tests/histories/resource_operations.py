"""Resources in a random history: the operations, and what must hold."""

from datetime import timedelta
from random import Random

from sqlalchemy import select, text

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.engine import Question
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user
from teamaccess.storage import Resource
from tests.histories.simulation import Simulation
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    batch_item,
    change_resources,
    grant_to,
    register_resource,
    remove_resource,
    set_grants,
)

NAMES = ("one", "two", "three")
"""So few that removed ids are used again."""

GRANTED = """
SELECT action FROM grants WHERE organization_id = :organization AND type = :type AND resource_id = :id
AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND (
  user_id = :user OR team_id IN (
    SELECT team_id FROM team_memberships WHERE organization_id = :organization AND user_id = :user
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
  )
)
"""


async def register_one(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Register a resource whose id may be in use or removed, or with another creator."""
    type = chance.choice(list(simulation.deployment.service.catalog.types))
    name, creator = (
        f"{type}:{chance.choice(NAMES)}",
        _creator(simulation, organization, chance, type),
    )
    answer = await register_resource(organization, name, by, creator)
    return simulation.record_answer(organization, answer)


async def remove_one(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Remove a resource."""
    type = chance.choice(list(simulation.deployment.service.catalog.types))
    return simulation.record_answer(
        organization, await remove_resource(organization, f"{type}:{chance.choice(NAMES)}", by)
    )


async def change_several(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Register and remove several at once. Perhaps one of them has to be refused."""
    wanted = []
    for type in simulation.deployment.service.catalog.types:
        for name in chance.sample([*NAMES, "four", "five"], 2):
            operation = chance.choice(["register", "remove"])
            creator = (
                _creator(simulation, organization, chance, type)
                if operation == "register"
                else None
            )
            wanted.append(batch_item(f"{type}:{name}", operation, creator))
    return simulation.record_answer(
        organization, await change_resources(organization, chance.sample(wanted, 2), by)
    )


async def change_grants(
    simulation: Simulation, organization: Organization, by: Person, chance: Random
) -> str:
    """Replace the grants on a resource."""
    async with simulation.deployment.service.reads() as session:
        mine = select(Resource).where(
            Resource.organization_id == organization.id, Resource.removed_at.is_(None)
        )
        found = list(await session.scalars(mine.order_by(Resource.type, Resource.id)))
    if not found:
        return "nothing to grant"
    on = chance.choice(found)
    verbs = list(simulation.deployment.service.catalog.types[on.type].actions)
    now = await simulation.deployment.service.now()
    wanted = {}
    for _ in range(chance.choice([0, 1, 1, 2])):
        target, verb = chance.choice(simulation.people(organization)), chance.choice(verbs)
        end = chance.choice([None, (now + timedelta(days=1)).isoformat()])
        wanted[target.id, verb] = grant_to(target, verb, expires_at=end)
    return simulation.record_answer(
        organization, await set_grants(organization, f"{on.type}:{on.id}", *wanted.values(), by=by)
    )


async def assert_resource_permissions_match_grants(
    simulation: Simulation, organization: Organization, person: Person
) -> None:
    """Assert that the permissions on objects are those of the organization and of the grants.

    The creator never has a four-eyes action.
    """
    catalog, engine = simulation.deployment.service.catalog, simulation.deployment.service.engine
    asked = {MEMBERSHIP, *(action.permission for action in catalog.actions.values())}
    everywhere = await engine.permitted(
        organization_object(organization.id), asked, user(person.id)
    )
    expected: dict[Question, bool] = {}
    async with simulation.deployment.service.reads() as session:
        mine = select(Resource).where(Resource.organization_id == organization.id)
        for each in await session.scalars(mine):
            keys = {
                "organization": organization.id,
                "type": each.type,
                "id": each.id,
                "user": person.id,
            }
            granted = set(await session.scalars(text(GRANTED), keys))
            for verb, name in catalog.types[each.type].actions.items():
                action = catalog.actions[name]
                question = Question(each.reference, verb, user(person.id))
                here = action.permission in everywhere
                here |= verb in granted and MEMBERSHIP in everywhere
                own = action.four_eyes and each.creator == person.id
                expected[question] = here and each.removed_at is None and not own
    found = await engine.answers(list(expected))
    wrong = [
        each for each, reported in zip(expected, found, strict=True) if reported != expected[each]
    ]
    assert wrong == []


def _creator(
    simulation: Simulation, organization: Organization, chance: Random, type: str
) -> Person | None:
    """A creator where the type requires one, and rarely where it does not."""
    demanded = simulation.deployment.service.catalog.types[type].demands_creator
    return (
        chance.choice(simulation.people(organization))
        if demanded != (chance.random() < 0.1)
        else None
    )
