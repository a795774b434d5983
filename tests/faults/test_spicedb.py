"""SpiceDB crashes, is slow, answers errors, or applies a write whose answer is lost."""

from functools import partial

import pytest
from grpc import StatusCode

from tests.faults.background_changes import changes_in_background
from tests.faults.clients import Clients, KnownOrganization, KnownPerson, RequestOptions
from tests.faults.cluster import Cluster
from tests.faults.crash_points import CrashPoint
from tests.faults.fault_injection import CODES
from tests.faults.held_changes import held_at
from tests.faults.operations import reactivate, suspend
from tests.faults.recovery import not_recovered
from tests.faults.verification import assert_promises_kept
from tests.support.spicedb_proxy import Writes, wait_until


async def test_spicedb_restarted_during_changes_misses_none(
    cluster: Cluster, clients: Clients
) -> None:
    await clients.create_organizations(3)
    async with changes_in_background(clients) as work:
        for _ in range(2):
            await work.wait_for_more()
            await cluster.kill_spicedb()
            await cluster.start_spicedb()
        await work.wait_for_more()
    await assert_promises_kept(cluster, clients)


@pytest.mark.parametrize("seconds", [0.2, 2.5])
async def test_late_answers_delay_promises_and_break_none(
    cluster: Cluster, clients: Clients, seconds: float
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_WRITE, ask) as asking:
        north.spicedb.answers.seconds = seconds
    late = await asking
    await north.spicedb.repair()
    assert late.last.status == (204 if seconds < 2 else 202)
    again = await reactivate(clients, organization, RequestOptions(ana, retry=True), bob)
    assert again.acknowledged
    await assert_promises_kept(cluster, clients)


async def test_a_write_whose_answer_is_cut_off_counts_once(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_WRITE, ask) as asking:
        north.spicedb.answers.hold()
    await wait_until(lambda: _shut_out(cluster, organization, bob))
    await north.spicedb.disconnect()
    await north.spicedb.repair()
    assert (await asking).acknowledged
    await assert_promises_kept(cluster, clients)


async def test_a_write_that_arrives_very_late_changes_nothing(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_WRITE, ask) as asking:
        north.spicedb.requests.hold()
    assert (await asking).last.status == 202
    back = await reactivate(
        clients, organization, RequestOptions(ana, retry=True, api="south"), bob
    )
    assert back.last.status == 204
    north.spicedb.requests.resume()
    await assert_promises_kept(cluster, clients)
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "")


@pytest.mark.parametrize("writes", [Writes.FAIL, Writes.LOSE_ANSWERS])
@pytest.mark.parametrize("code", CODES)
async def test_an_error_is_an_outage_that_passes(
    cluster: Cluster, clients: Clients, code: StatusCode, writes: Writes
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    wire = cluster.programs["north"].spicedb
    cluster.error_proxy.code, cluster.error_proxy.writes = code, writes
    await wire.connect_to(cluster.error_proxy_address)
    operation = await suspend(clients, organization, RequestOptions(ana, api="north"), bob)
    assert operation.last.status in (202, 204), str(operation)
    await wait_until(lambda: _shut_out(cluster, organization, bob))
    await assert_promises_kept(cluster, clients)


async def test_when_the_errors_end_every_api_enforces_by_itself_again(
    cluster: Cluster,
) -> None:
    cluster.error_proxy.code, cluster.error_proxy.writes = StatusCode.INTERNAL, Writes.FAIL
    await cluster.programs["south"].spicedb.connect_to(cluster.error_proxy_address)
    assert await not_recovered(cluster) == ["south enforces nothing any more"]
    await cluster.repair()
    assert await not_recovered(cluster) == []


async def _shut_out(cluster: Cluster, organization: KnownOrganization, target: KnownPerson) -> bool:
    return await cluster.spicedb_client.allowed(organization.id, target.id or "") is False
