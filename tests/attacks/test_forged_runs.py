"""Mallory has SpiceDB's key and the application's database password.

She plants runs, cursors and findings, which the watcher and the status read. None of them stops a reader,
and no run explains access that the ledger does not give now.
"""

from functools import partial

import asyncpg
import pytest
from asyncpg import PostgresError

from tests.attacks.test_forged_provenance import (
    forge,
    found,
    is_reported,
    newest,
    promotion,
    read_so_far,
    reported,
    watch_has_begun,
)
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import running_worker, wait_until
from tests.upkeep.worker.test_unwatched import unwatched

RUN = """
INSERT INTO engine_runs (kind, organization_id, position, request_id, transaction, phase)
VALUES ($1, $2, $3, 'forged', $4, $5)
"""
TIMES = r"""
SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c
WHERE c.table_schema = 'public' AND c.data_type = 'timestamp with time zone'
AND c.table_name = ANY ($1) AND NOT EXISTS (
  SELECT FROM pg_constraint WHERE conrelid = format('public.%I', c.table_name)::regclass
  AND contype = 'c' AND conname = c.table_name || '_times_check'
  AND pg_get_constraintdef(oid) ~ format('\m%s >= .*\m%s < ', c.column_name, c.column_name))
"""
WATCHER_TABLES = (
    "engine_runs",
    "schema_versions",
    "watch_cursor",
    "watched_writes",
    "findings",
    "reconciliations",
)
IMPOSSIBLE_TIMES = ("4713-01-01 BC", "infinity", "-infinity", "294276-12-31")


@pytest.fixture
async def acme(isolated: Deployment) -> Organization:
    """The organization that Mallory is after."""
    return await isolated.create_organization("acme")


@pytest.fixture
async def globex(isolated: Deployment) -> Organization:
    """Another one, in which a plain write shows how far the worker has read."""
    return await isolated.create_organization("globex")


async def execute(
    deployment: Deployment, statement: str, *values: object, owner: bool = False
) -> None:
    """Run a statement as the application, or as the owner of the tables."""
    url = deployment.owner_url if owner else deployment.settings.database_url
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def refused(deployment: Deployment, statement: str, *values: object) -> None:
    """PostgreSQL refuses the statement of the application's role because of its values."""
    with pytest.raises(PostgresError) as refusal:
        await execute(deployment, statement, *values)
    assert refusal.value.sqlstate in ("23514", "23000", "42501"), refusal.value


def access(organization: Organization, person: Person) -> list[str]:
    """The updates that give a former member their membership and their role back."""
    start = f"TOUCH organization:{organization.id}"
    return [f"{start}#member@user:{person.id}", f"{start}#operations@user:{person.id}"]


@pytest.mark.parametrize("owner", [False, True])
async def test_a_run_of_an_unknown_kind_blinds_nobody(
    isolated: Deployment, acme: Organization, globex: Organization, owner: bool
) -> None:
    """The owner of the tables can drop the constraint; the watcher goes on even then."""
    planted = ("evil", acme.id, 0, None, "emptying")
    if owner:
        drop = "ALTER TABLE engine_runs DROP CONSTRAINT engine_runs_kind_known_check"
        await execute(isolated, drop, owner=True)
        await execute(isolated, RUN, *planted)
    else:
        await refused(isolated, RUN, *planted)
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        for each in (acme, globex):
            await forge(isolated, promotion(each))
            await wait_until(partial(is_reported, each, promotion(each)), seconds=20)


@pytest.mark.parametrize("phase", ["evil", ""])
async def test_a_run_of_an_unknown_phase_is_refused(
    isolated: Deployment, acme: Organization, phase: str
) -> None:
    await refused(isolated, RUN, "renewal", acme.id, 1, None, phase)


@pytest.mark.parametrize("kind", ["rebuild", "close", "purge"])
@pytest.mark.parametrize("transaction", ["9000000000000000000", "garbage", "3", None])
async def test_a_run_of_no_running_transaction_is_refused(
    isolated: Deployment, acme: Organization, kind: str, transaction: str | None
) -> None:
    position = 0 if kind == "purge" else await newest(acme)
    await refused(isolated, RUN, kind, acme.id, position, transaction, "emptying")


async def test_a_rebuild_does_not_explain_access_that_was_taken_away_since(
    isolated: Deployment, acme: Organization, globex: Organization
) -> None:
    """The thief's own transaction is running, so PostgreSQL cannot tell the run from a real one."""
    bob = await acme.member("bob", roles=["operations"])
    thief = await asyncpg.connect(isolated.settings.database_url)
    holding = thief.transaction()
    await holding.start()
    transaction = await thief.fetchval("SELECT pg_current_xact_id()::text")
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        await execute(
            isolated, RUN, "rebuild", acme.id, await newest(acme), transaction, "emptying"
        )
        assert (await acme.remove(bob)).status_code == 204
        await forge(isolated, *access(acme, bob))
        await read_so_far(globex)
        assert sorted(await reported(acme)) == sorted(access(acme, bob))
    await holding.rollback()
    await thief.close()


async def test_a_redelivery_does_not_explain_access_that_was_taken_away_since(
    isolated: Deployment, acme: Organization, globex: Organization
) -> None:
    bob = await acme.member("bob", roles=["operations"])
    before = await newest(acme)
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        assert (await acme.remove(bob)).status_code == 204
        await read_so_far(globex)
        await execute(
            isolated,
            "UPDATE watched_ledgers SET position = $2 WHERE organization_id = $1",
            acme.id,
            before,
        )
        await execute(isolated, RUN, "redelivery", acme.id, before, None, "emptying")
        await forge(isolated, *access(acme, bob))
        await read_so_far(globex)
        assert sorted(await reported(acme)) == sorted(access(acme, bob))


@pytest.mark.parametrize("position", [0, -(2**63), 2**63 - 1])
async def test_a_redelivery_at_an_impossible_position_is_refused(
    isolated: Deployment, acme: Organization, position: int
) -> None:
    await refused(isolated, RUN, "redelivery", acme.id, position, None, "emptying")


async def test_a_position_ahead_of_the_ledger_does_not_make_real_changes_foreign(
    isolated: Deployment, acme: Organization, globex: Organization
) -> None:
    bob = await acme.member("bob", roles=["operations"])
    async with running_worker(isolated):
        await wait_until(lambda: watch_has_begun(isolated))
        await read_so_far(globex)
        await execute(
            isolated,
            "INSERT INTO watched_ledgers VALUES ($1, $2)"
            " ON CONFLICT (organization_id) DO UPDATE SET position = excluded.position",
            acme.id,
            2**63 - 1,
        )
        assert (await acme.change_roles(bob, "product")).status_code == 200
        await read_so_far(globex)
        assert await found(acme) == []


@pytest.mark.parametrize("time", IMPOSSIBLE_TIMES)
async def test_times_that_python_cannot_read_are_refused(
    isolated: Deployment, acme: Organization, time: str
) -> None:
    for statement in (
        f"INSERT INTO watch_cursor VALUES (1, 'garbage', '{time}')",
        f"INSERT INTO watched_writes VALUES ('token', '{time}')",
        f"INSERT INTO reconciliations VALUES ('{acme.id}', '{time}', 0, NULL)",
        f"INSERT INTO reconciliations VALUES ('{acme.id}', now(), 0, '{time}')",
    ):
        await refused(isolated, statement)
    await execute(isolated, RUN, "renewal", acme.id, 1, None, "emptying")
    await refused(isolated, f"UPDATE engine_runs SET over_at = '{time}'")
    await refused(isolated, f"UPDATE engine_runs SET settled_at = '{time}'")


async def test_every_time_of_the_watcher_s_tables_has_a_range(
    superuser_connection: Connection,
) -> None:
    missing = await superuser_connection.fetch(TIMES, list(WATCHER_TABLES))
    assert [row[0] for row in missing] == []


async def test_an_unreadable_cursor_is_a_gap(isolated: Deployment, acme: Organization) -> None:
    """The owner of the tables drops the constraint first."""
    drop = "ALTER TABLE watch_cursor DROP CONSTRAINT watch_cursor_times_check"
    await execute(isolated, drop, owner=True)
    await execute(isolated, "INSERT INTO watch_cursor VALUES (1, 'garbage', '4713-01-01 BC')")
    async with running_worker(isolated):

        async def gap_found() -> bool:
            return bool(await unwatched(isolated))

        await wait_until(gap_found, seconds=20)
        await forge(isolated, promotion(acme))
        await wait_until(lambda: watch_has_begun(isolated))
        await forge(isolated, promotion(acme).replace("eve", "eva"))
        await wait_until(
            lambda: is_reported(acme, promotion(acme).replace("eve", "eva")), seconds=20
        )
    [(_, details)] = await unwatched(isolated)
    assert details["from"] is None


FINDING = """
INSERT INTO findings (kind, organization_id, fingerprint, details) VALUES ('evil', 'acme', 'x', '{}')
"""


async def test_a_finding_of_an_unknown_kind_is_refused_and_stops_no_status(
    isolated: Deployment,
) -> None:
    await refused(isolated, FINDING)
    drop = "ALTER TABLE findings DROP CONSTRAINT findings_kind_known_check"
    await execute(isolated, drop, owner=True)
    await execute(isolated, FINDING)
    operator = await isolated.operator_person()
    ready = await operator.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["open_findings"]) == (200, 1)
    scraped = (await operator.ask("GET", "/metrics")).text
    assert 'teamaccess_findings_open{kind="evil"} 1.0' in scraped
