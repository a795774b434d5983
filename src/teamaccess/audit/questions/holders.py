"""Asks the engine who has each of many permissions."""

import asyncio
from collections.abc import Sequence

from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.storage import UserId

AT_ONCE = 8
"""Concurrent lookups. Where few people have a permission, a lookup is mostly waiting."""

ObjectPermission = tuple[ObjectReference, str]
"""An object and one of its permissions."""


async def find_holders(
    engine: Engine, at: Consistency, permissions: Sequence[ObjectPermission]
) -> dict[ObjectPermission, set[UserId]]:
    """Return who has each permission (LookupSubjects), in the order of the permissions.

    Raises EngineUnavailable.
    """
    holders: dict[ObjectPermission, set[UserId]] = {key: set() for key in permissions}
    remaining = iter(holders)

    async def look_up() -> None:
        for resource, permission in remaining:
            users = engine.subjects(resource, permission, "user", at)
            holders[resource, permission] = {UserId(id) async for id in users}

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(look_up())
    except ExceptionGroup as failures:  # the first failure cancels the other lookups
        raise failures.exceptions[0] from failures
    return holders
