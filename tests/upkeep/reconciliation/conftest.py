"""Worlds apart, and what is done to one of them behind the product's back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from teamaccess.local.postgres.server import LocalPostgres
from teamaccess.local.stack import LocalStack
from tests.support.connections import application, superuser
from tests.support.world import World
from tests.support.world_fixtures import hosted
from tests.upkeep.reconciliation.apart import Ground

__all__ = ["apart", "application", "ground", "superuser"]


@pytest.fixture
def ground(stack: LocalStack, postgres: LocalPostgres, tmp_path: Path) -> Ground:
    """Where worlds of one's own are made."""
    return Ground(stack, tmp_path)


@pytest.fixture
async def apart(ground: Ground) -> AsyncIterator[World]:
    """A world in which nothing is but what the test puts there."""
    database, (_, spicedb) = await ground.database(), await ground.spicedb()
    async for world in hosted(ground.settings(database, spicedb), ground.owner_url(database)):
        await world.give_schema()
        yield world
    await ground.stop(spicedb)
