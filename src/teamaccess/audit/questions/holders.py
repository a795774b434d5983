"""Everybody who has something, asked about many things."""

import asyncio
from collections.abc import Sequence

from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.storage import UserId

AT_ONCE = 8
"""Questions under way: what one costs is mostly waiting where few people have something."""

Place = tuple[ObjectReference, str]
"""An object, and a permission of it."""


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
            users = engine.lookup_subjects(resource, permission, "user", at)
            found[resource, permission] = {UserId(id) async for id in users}

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except ExceptionGroup as failures:  # one ends the others, and is what went wrong
        raise failures.exceptions[0] from failures
    return found
