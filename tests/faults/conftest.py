"""One cluster for all tests of faults.

Each test begins with everything repaired and with new clients.
"""

from collections.abc import AsyncIterator
from random import Random

import pytest

from tests.faults.clients import Clients
from tests.faults.cluster import Cluster, start_cluster
from tests.faults.operations import reconnect


@pytest.fixture(scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """PostgreSQL, SpiceDB and the APIs as processes, up until the last test is done."""
    async with start_cluster(tmp_path_factory.mktemp("faults") / "home") as cluster:
        yield cluster


@pytest.fixture
async def cluster(running: Cluster) -> Cluster:
    """The cluster with nothing broken."""
    await running.repair()
    for program in running.programs.values():
        program.new_log_lines()
        program.deaths.clear()
    return running


@pytest.fixture
async def clients(cluster: Cluster) -> Clients:
    """People of one new organization."""
    clients = Clients(cluster, Random(1))  # noqa: S311 - no secret depends on it
    await clients.create_organizations(1)
    await reconnect(clients, cluster.apis)
    return clients
