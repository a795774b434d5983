"""Everybody who has something, asked about many things."""

import asyncio
from collections.abc import Sequence

from teamaccess.common.loop_share import give_way, others_ask
from teamaccess.engine import FULLY_CONSISTENT, Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.storage import UserId

AT_ONCE = 8
"""Questions under way: what one costs is mostly waiting where few people have something."""
AMONG_OTHERS = 2
"""The same while other tenants ask: SpiceDB would work on all eight before it works on theirs."""

Place = tuple[ObjectReference, str]
"""An object, and a permission of it."""


async def users_with(
    engine: Engine,
    resource: ObjectReference,
    permission: str,
    at: Consistency = FULLY_CONSISTENT,
) -> set[UserId]:
    """Return who has a permission, letting other tenants' requests go first. Raises EngineUnavailable."""
    found: set[UserId] = set()
    async for id in engine.subjects(resource, permission, "user", at):
        found.add(UserId(id))
        await give_way()
    return found


async def holders(
    engine: Engine, at: Consistency, places: Sequence[Place]
) -> dict[Place, set[UserId]]:
    """Return who has each permission (LookupSubjects), in the order of the places.

    Raises EngineUnavailable.
    """
    found: dict[Place, set[UserId]] = {place: set() for place in places}
    waiting = iter(found)

    async def work() -> None:
        for resource, permission in waiting:
            found[resource, permission] = await users_with(engine, resource, permission, at)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AMONG_OTHERS if others_ask() else AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as failures:  # one ends the others, and is what went wrong
        raise failures.exceptions[0] from failures
    return found
