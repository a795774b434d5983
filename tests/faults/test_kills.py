"""A process is killed at any moment of a change: afterwards all of the change is there, or nothing."""

import signal

import pytest

from tests.faults.clients import Clients, RequestOptions
from tests.faults.cluster import Cluster
from tests.faults.crash_points import CrashPoint
from tests.faults.operations import suspend
from tests.faults.verification import assert_promises_kept

COMMITTED = [point for point in CrashPoint if point is not CrashPoint.BEFORE_COMMIT]


async def test_a_change_killed_before_its_commit_leaves_nothing(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    north.crash_points.arm(CrashPoint.BEFORE_COMMIT, signal.SIGKILL)
    cut = await suspend(clients, organization, RequestOptions(ana, api="north"), bob)
    await north.wait_until_dead()
    assert cut.unknown
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "")
    done = await suspend(clients, organization, RequestOptions(ana, api="south"), bob)
    assert done.acknowledged
    await north.start()
    await assert_promises_kept(cluster, clients)


@pytest.mark.parametrize("point", COMMITTED)
async def test_a_change_killed_after_its_commit_still_arrives(
    cluster: Cluster, clients: Clients, point: CrashPoint
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    north.crash_points.arm(point, signal.SIGKILL)
    cut = await suspend(clients, organization, RequestOptions(ana, api="north"), bob)
    await north.wait_until_dead()
    assert cut.unknown
    again = await suspend(clients, organization, RequestOptions(ana, api="south"), bob)
    assert again.last.code == "already_suspended"
    await north.start()
    await assert_promises_kept(cluster, clients)
    assert not await cluster.spicedb_client.allowed(organization.id, bob.id or "")
