"""A worker for a test's own time."""

from collections.abc import AsyncIterator

import pytest

from tests.support.connections import application, superuser
from tests.support.spicedb_proxy import working
from tests.support.world import World


@pytest.fixture
async def worker(fintoc: World) -> AsyncIterator[None]:
    """A worker runs beside the API."""
    async with working(fintoc):
        yield


__all__ = ["application", "superuser"]
