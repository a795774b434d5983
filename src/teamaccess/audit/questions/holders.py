"""Asks the engine who has each of many permissions."""

import asyncio
from collections.abc import Sequence

from teamaccess.common.sharing.loop_share import give_way, others_ask
from teamaccess.engine import FULLY_CONSISTENT, Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.storage import UserId

AT_ONCE = 8
"""Concurrent lookups. Where few people have a permission, a lookup is mostly waiting."""
WHILE_OTHERS_ASK = 2
"""The same while other tenants ask: SpiceDB would work on all eight before it works on theirs."""

ObjectPermission = tuple[ObjectReference, str]
"""An object and one of its permissions."""


async def users_with(
    engine: Engine,
    resource: ObjectReference,
    permission: str,
    at: Consistency = FULLY_CONSISTENT,
) -> set[UserId]:
    """Return who has a permission, letting other tenants' requests go first. Raises EngineUnavailable."""
    users: set[UserId] = set()
    async for id in engine.lookup_subjects(resource, permission, "user", at):
        users.add(UserId(id))
        await give_way()
    return users


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
            holders[resource, permission] = await users_with(engine, resource, permission, at)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(WHILE_OTHERS_ASK if others_ask() else AT_ONCE):
                group.create_task(look_up())
    except ExceptionGroup as failures:  # the first failure cancels the other lookups
        raise failures.exceptions[0] from failures
    return holders
