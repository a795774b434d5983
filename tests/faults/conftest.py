"""One deployment for all tests of faults; each begins with everything mended, and with a new crowd."""

from collections.abc import AsyncIterator
from random import Random

import pytest

from tests.faults.crowd import Crowd
from tests.faults.deeds import acquaint
from tests.faults.deployment import Deployment, deployed


@pytest.fixture(scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """PostgreSQL, SpiceDB and the APIs as processes, up until the last test is done."""
    async with deployed(tmp_path_factory.mktemp("faults") / "home") as deployment:
        yield deployment


@pytest.fixture
async def deployment(running: Deployment) -> Deployment:
    """The deployment, with nothing broken."""
    await running.mend()
    for program in running.programs.values():
        program.said()
        program.deaths.clear()
    return running


@pytest.fixture
async def crowd(deployment: Deployment) -> Crowd:
    """People of one new organization."""
    crowd = Crowd(deployment, Random(1))  # noqa: S311 - nothing secret hangs on it
    await crowd.gather(1)
    await acquaint(crowd, deployment.apis)
    return crowd
