"""Workers deliver what requests left pending, even if workers crash or resume late."""

import signal
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from teamaccess.storage import OrganizationId
from tests.faults.clients import Clients, RequestOptions
from tests.faults.cluster import WORKER, Cluster
from tests.faults.crash_points import CrashPoint
from tests.faults.held_changes import held_at
from tests.faults.operations import reactivate, suspend
from tests.faults.program import Program
from tests.faults.verification import assert_promises_kept
from tests.support.deployment import Deployment
from tests.support.spicedb_proxy import wait_until

SET_EXPIRY = text(
    "UPDATE role_assignments SET expires_at = :at WHERE organization_id = :here AND user_id = :user"
)
COUNT_EXPIRING = text(
    "SELECT count(*) FROM role_assignments WHERE organization_id = :here AND expires_at IS NOT NULL"
)


async def _leave_a_change_pending(cluster: Cluster, clients: Clients) -> None:
    """Commit a change through an API that loses SpiceDB before it can deliver it."""
    [organization] = clients.organizations
    north = cluster.programs["north"]
    ask = partial(
        suspend,
        clients,
        organization,
        RequestOptions(organization.administrators[0], api="north"),
        organization.people[0],
    )
    async with held_at(north, CrashPoint.AFTER_COMMIT, ask) as asking:
        await north.spicedb.refuse()
    assert (await asking).last.status == 202


@pytest.mark.parametrize(
    "point",
    [
        CrashPoint.BEFORE_WRITE,
        CrashPoint.AFTER_WRITE,
        CrashPoint.BEFORE_MARK,
        CrashPoint.AFTER_MARK,
    ],
)
async def test_a_worker_that_dies_is_replaced(
    cluster: Cluster, clients: Clients, point: CrashPoint
) -> None:
    worker = cluster.programs[WORKER]
    worker.crash_points.arm(point, signal.SIGKILL)
    await _leave_a_change_pending(cluster, clients)
    await worker.wait_until_dead()
    await worker.start()
    await assert_promises_kept(cluster, clients)


@pytest.mark.parametrize(
    "point",
    [
        CrashPoint.BEFORE_COMMIT,
        CrashPoint.AFTER_COMMIT,
        CrashPoint.BEFORE_WRITE,
        CrashPoint.AFTER_WRITE,
        CrashPoint.AFTER_MARK,
    ],
)
async def test_a_worker_that_dies_while_sweeping_is_replaced(
    cluster: Cluster, clients: Clients, point: CrashPoint
) -> None:
    [organization] = clients.organizations
    bob = organization.people[0]
    worker = cluster.programs[WORKER]
    async with cluster.deployment() as deployment:
        async with deployment.operator(organization.id) as change:
            ended = {
                "at": change.now + timedelta(seconds=0.5),
                "user": bob.id,
                "here": organization.id,
            }
            await change.session.execute(SET_EXPIRY, ended)
            worker.crash_points.arm(point, signal.SIGKILL)
        await worker.wait_until_dead()
        await worker.start()
        await wait_until(lambda: _swept(deployment, organization.id))
    await assert_promises_kept(cluster, clients)


async def _swept(deployment: Deployment, organization: OrganizationId) -> bool:
    async with deployment.service.reads() as session:
        return bool(await session.scalar(COUNT_EXPIRING, {"here": organization}) == 0)


async def test_a_worker_that_resumes_with_an_old_write_changes_nothing(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    worker = cluster.programs[WORKER]
    await _freeze_before_a_write(cluster, clients, worker)
    back = await reactivate(
        clients, organization, RequestOptions(ana, retry=True, api="south"), bob
    )
    assert back.last.status == 204
    worker.thaw()
    await assert_promises_kept(cluster, clients)
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "")


async def test_another_worker_delivers_the_position_of_a_frozen_worker_after_its_lease(
    cluster: Cluster, clients: Clients
) -> None:
    frozen = cluster.programs[WORKER]
    await _freeze_before_a_write(cluster, clients, frozen)
    await cluster.add_worker("second")
    try:
        await assert_promises_kept(cluster, clients)
    finally:
        await cluster.remove_worker("second")
        frozen.thaw()
    await assert_promises_kept(cluster, clients)


async def _freeze_before_a_write(cluster: Cluster, clients: Clients, worker: Program) -> None:
    worker.crash_points.arm(CrashPoint.BEFORE_WRITE, signal.SIGSTOP)
    await _leave_a_change_pending(cluster, clients)
    await worker.wait_until_frozen()


@pytest.mark.parametrize(
    "point", [CrashPoint.BEFORE_WRITE, CrashPoint.BEFORE_MARK, CrashPoint.BEFORE_ANSWER]
)
async def test_an_api_that_resumes_with_an_old_write_changes_nothing(
    cluster: Cluster, clients: Clients, point: CrashPoint
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(cluster.programs["north"], point, ask) as asking:
        back = await reactivate(
            clients, organization, RequestOptions(ana, retry=True, api="south"), bob
        )
        assert back.last.status == 204
    assert (await asking).acknowledged
    await assert_promises_kept(cluster, clients)
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "")


async def test_an_api_frozen_during_a_change_does_not_block_others_for_long(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob, dan = organization.administrators[0], organization.people[0], organization.people[1]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(cluster.programs["north"], CrashPoint.BEFORE_COMMIT, ask) as asking:
        busy = await suspend(clients, organization, RequestOptions(ana, api="south"), dan)
        assert busy.last.code == "organization_busy"
        free = await suspend(
            clients, organization, RequestOptions(ana, retry=True, api="south"), dan
        )
        assert free.last.status == 204
    assert (await asking).last.code == "not_committed"
    await assert_promises_kept(cluster, clients)
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "")
