"""The application behind a real HTTP server."""

from collections.abc import Iterator

import pytest

from tests.support.serving import Served, serving
from tests.support.world import World

__all__ = ["Served"]


@pytest.fixture(scope="session")
def served(fintoc: World) -> Iterator[Served]:
    """Fintoc's application, served with its limits as they are by default."""
    with serving(fintoc) as served:
        yield served
