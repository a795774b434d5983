"""What attackers need: worlds of their own, a served application, other processes."""

from collections.abc import Iterator

import pytest

from tests.ledger.conftest import application, owner, superuser
from tests.reconciliation.conftest import apart, ground
from tests.serving import Served, serving
from tests.world import World

__all__ = ["apart", "application", "ground", "owner", "superuser"]


@pytest.fixture(scope="session")
def served(fintoc: World) -> Iterator[Served]:
    """Fintoc's application, served with its limits as they are by default."""
    with serving(fintoc) as served:
        yield served
