"""PostgreSQL is restarted, crashes, or goes away at the worst moment."""

import signal
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from teamaccess.local.postgres.server import APPLICATION
from tests.faults.background_changes import changes_in_background
from tests.faults.clients import Clients, KnownOrganization, RequestOptions
from tests.faults.cluster import Cluster
from tests.faults.crash_points import CrashPoint
from tests.faults.held_changes import held_at
from tests.faults.operations import leave, suspend
from tests.faults.verification import assert_promises_kept
from tests.support.spicedb_proxy import wait_until

DELAY_FLUSHES = """
ALTER SYSTEM SET wal_writer_delay = '10s';
SELECT pg_reload_conf();
CHECKPOINT;
"""
"""Delays the background flush of the log, so that only commits write to the disk."""
OTHER_TRANSACTIONS = "SELECT pg_current_xact_id();\n" * 200
"""Unrelated transactions, one after another."""
RESET_FLUSHES = """
ALTER SYSTEM RESET wal_writer_delay;
SELECT pg_reload_conf();
"""


async def test_a_crash_before_the_commit_is_never_taken_for_a_commit(
    cluster: Cluster, clients: Clients
) -> None:
    # PostgreSQL gives the numbers of transactions that left no trace on the disk to others.
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    cluster.postgres.psql(DELAY_FLUSHES)
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(cluster.programs["north"], CrashPoint.BEFORE_COMMIT, ask) as asking:
        await cluster.stop_postgres(signal.SIGQUIT)
        await cluster.start_postgres()
        cluster.postgres.psql(RESET_FLUSHES + OTHER_TRANSACTIONS)
    assert not (await asking).acknowledged
    await assert_promises_kept(cluster, clients)


async def test_a_crash_before_the_commit_is_reported_as_no_change(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(cluster.programs["north"], CrashPoint.BEFORE_COMMIT, ask) as asking:
        await cluster.stop_postgres(signal.SIGQUIT)
        await cluster.start_postgres()
    assert (await asking).last.code == "not_committed", str(await asking) + "\n".join(
        cluster.programs["north"].new_log_lines()
    )
    await assert_promises_kept(cluster, clients)


async def test_a_commit_whose_answer_is_lost_is_recognized_as_committed(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_COMMIT, ask) as asking:
        north.database.hold_answers_after(b"COMMIT")
    await wait_until(lambda: _committed(cluster, organization))
    await north.database.disconnect()
    await north.database.repair()
    assert (await asking).acknowledged
    await assert_promises_kept(cluster, clients)


async def test_a_member_who_left_without_an_answer_does_not_get_unknown_organization(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    bob = organization.people[0]
    north = cluster.programs["north"]
    ask = partial(leave, clients, organization, RequestOptions(bob, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_COMMIT, ask) as asking:
        north.database.hold_answers_after(b"COMMIT")
    await wait_until(lambda: _committed(cluster, organization))
    await north.database.refuse()
    assert (await asking).last.code == "outcome_unknown"
    await north.database.repair()
    await assert_promises_kept(cluster, clients)
    assert await cluster.spicedb_client.allowed(organization.id, bob.id or "") is False


async def test_a_commit_that_never_arrived_is_reported_as_no_change(
    cluster: Cluster, clients: Clients
) -> None:
    [organization] = clients.organizations
    ana, bob = organization.administrators[0], organization.people[0]
    north = cluster.programs["north"]
    ask = partial(suspend, clients, organization, RequestOptions(ana, api="north"), bob)
    async with held_at(north, CrashPoint.BEFORE_COMMIT, ask) as asking:
        await north.database.disconnect()
    assert (await asking).last.code == "not_committed", str(await asking) + "\n".join(
        cluster.programs["north"].new_log_lines()
    )
    await assert_promises_kept(cluster, clients)


async def _committed(cluster: Cluster, organization: KnownOrganization) -> bool:
    last = f"SELECT max(position) FROM ledger WHERE organization_id = '{organization.id}'"
    return cluster.postgres.psql(last, APPLICATION) == "4\n"


async def _fast(cluster: Cluster) -> None:
    await cluster.stop_postgres(signal.SIGINT)


async def _immediate(cluster: Cluster) -> None:
    await cluster.stop_postgres(signal.SIGQUIT)


async def _killed(cluster: Cluster) -> None:
    await cluster.kill_postgres()


@pytest.mark.parametrize("end", [_fast, _immediate, _killed])
async def test_postgresql_restarted_during_changes_loses_none(
    cluster: Cluster, clients: Clients, end: Callable[[Cluster], Awaitable[None]]
) -> None:
    await clients.create_organizations(3)
    async with changes_in_background(clients) as work:
        for _ in range(2):
            await work.wait_for_more()
            await end(cluster)
            await cluster.start_postgres()
        await work.wait_for_more()
    await assert_promises_kept(cluster, clients)


ONLY_READS = """
SET default_transaction_read_only = off;
ALTER SYSTEM {} default_transaction_read_only{};
SELECT pg_reload_conf();
"""
SESSIONS = f"SELECT pid FROM pg_stat_activity WHERE usename = '{APPLICATION}'"


async def test_a_server_that_turns_read_only_is_waited_out_without_a_restart(
    cluster: Cluster, clients: Clients
) -> None:
    """As after a failover to a standby, or when an administrator protects a full disk.

    The sessions of the processes stay open, so each of them learns of it by an error.
    """
    [organization] = clients.organizations
    ana, bob, dan = organization.administrators[0], *organization.people[:2]
    north = RequestOptions(ana, api="north")
    before = set(cluster.postgres.psql(SESSIONS).split())
    cluster.postgres.psql(ONLY_READS.format("SET", " = on"))
    try:
        for _ in range(2):
            refused = await suspend(clients, organization, north, bob)
            assert (refused.last.status, refused.last.code) == (503, "database_unavailable")
        ready = await cluster.apis["north"].get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["database"] == "accepts no changes"
        assert (await cluster.apis["north"].get("/healthz")).is_success
    finally:
        cluster.postgres.psql(ONLY_READS.format("RESET", ""))
    after = set(cluster.postgres.psql(SESSIONS).split())
    assert before - after, "no session was given up"

    async def ready_again() -> bool:
        return (await cluster.apis["north"].get("/readyz")).is_success

    await wait_until(ready_again)
    assert (await suspend(clients, organization, north, dan)).acknowledged
    assert all(program.runs for program in cluster.programs.values())
    assert not any(program.deaths for program in cluster.programs.values())
    await assert_promises_kept(cluster, clients)
