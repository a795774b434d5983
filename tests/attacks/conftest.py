"""What attackers need: a stolen key or password, a served application, worlds of their own."""

from collections.abc import Iterator

import pytest

from tests.support.connections import application, owner, superuser
from tests.support.serving import Served, serving
from tests.support.world import World
from tests.upkeep.reconciliation.conftest import apart, ground
from tests.upkeep.worker.conftest import worker

__all__ = [
    "apart",
    "application",
    "ground",
    "owner",
    "superuser",
    "worker",
]


@pytest.fixture(scope="session")
def served(fintoc: World) -> Iterator[Served]:
    """Fintoc's application, served with its limits as they are by default."""
    with serving(fintoc) as served:
        yield served
