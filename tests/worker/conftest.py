"""A worker for a test's own time."""

from collections.abc import AsyncIterator

import pytest

from tests.faults_tools import working
from tests.ledger.conftest import application, superuser
from tests.world import World


@pytest.fixture
async def worker(fintoc: World) -> AsyncIterator[None]:
    """A worker runs beside the API."""
    async with working(fintoc):
        yield


__all__ = ["application", "superuser"]
