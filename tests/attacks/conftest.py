"""What attackers need: a stolen key or password, a served application, worlds of their own."""

from collections.abc import Iterator

import pytest

from tests.chains.conftest import history, intruder
from tests.ledger.conftest import application, owner, superuser
from tests.reconciliation.conftest import apart, ground
from tests.serving import Served, serving
from tests.worker.conftest import worker
from tests.world import World

__all__ = [
    "apart",
    "application",
    "ground",
    "history",
    "intruder",
    "owner",
    "superuser",
    "worker",
]


@pytest.fixture(scope="session")
def served(fintoc: World) -> Iterator[Served]:
    """Fintoc's application, served with its limits as they are by default."""
    with serving(fintoc) as served:
        yield served
