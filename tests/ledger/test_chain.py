"""Entries of a chain cannot be changed, and an alteration is detected."""

import pytest
from asyncpg import InsufficientPrivilegeError

from teamaccess.changes.events import record_alone
from teamaccess.changes.events.users import TokenIssued
from teamaccess.storage import Event
from tests.support.agreement import ledger_entries
from tests.support.chain_hashes import broken_entries, broken_events
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization

REWRITE = [
    "UPDATE {table} SET actor = 'nobody' WHERE {key} = '{id}'",
    "UPDATE {table} SET position = position WHERE {key} = '{id}'",
    "DELETE FROM {table} WHERE {key} = '{id}'",
    "TRUNCATE {table} CASCADE",
]
UPSERT = """
INSERT INTO {table} SELECT * FROM {table} WHERE {key} = '{id}'
ON CONFLICT ({key}, position) DO UPDATE SET actor = 'nobody'
"""
CHAINS = [("ledger", "organization_id"), ("events", "chain")]


async def _rewrite(organization: Organization, connection: Connection, statement: str) -> None:
    for table, key in CHAINS:
        with pytest.raises(InsufficientPrivilegeError):
            await connection.execute(statement.format(table=table, key=key, id=organization.id))


@pytest.mark.parametrize("statement", [*REWRITE, UPSERT])
async def test_the_application_cannot_rewrite_history(
    history: Organization, application_connection: Connection, statement: str
) -> None:
    await _rewrite(history, application_connection, statement)


@pytest.mark.parametrize("statement", REWRITE)
async def test_the_owner_of_the_tables_cannot_rewrite_history(
    history: Organization, owner_connection: Connection, statement: str
) -> None:
    await _rewrite(history, owner_connection, statement)


async def test_the_owner_cannot_truncate_a_table_with_a_chain(
    owner_connection: Connection,
) -> None:
    for table in ("memberships", "role_assignments", "invitations", "organizations", "users"):
        with pytest.raises(InsufficientPrivilegeError, match="it would go round the ledger"):
            await owner_connection.execute(f"TRUNCATE {table} CASCADE")


async def test_the_chain_holds_for_an_independent_computation(
    history: Organization, superuser_connection: Connection
) -> None:
    platform = (await history.deployment.events(Event.PLATFORM))[-1].position  # of other tests
    await record_alone(history.deployment.service.sessions, OPERATOR, TokenIssued(hours=1))
    assert len(await ledger_entries(history)) >= 6
    assert await broken_entries(superuser_connection, history.id) == []
    assert await broken_events(superuser_connection, history.id) == []
    on_platform = await broken_events(superuser_connection, Event.PLATFORM)
    assert [position for position in on_platform if position > platform] == []


async def test_the_heads_are_the_last_entries_of_the_chains(
    history: Organization, superuser_connection: Connection
) -> None:
    for heads, table, key in (
        ("ledger_heads", "ledger", "organization_id"),
        ("event_heads", "events", "chain"),
    ):
        ends = await superuser_connection.fetch(
            f"SELECT position, hash FROM {table} WHERE {key} = $1 ORDER BY position DESC LIMIT 1",
            history.id,
        )
        assert ends == await superuser_connection.fetch(
            f"SELECT position, hash FROM {heads} WHERE {key} = $1", history.id
        )


@pytest.mark.parametrize(
    ("table", "alteration", "shows_at"),
    [
        ("ledger", "updates = array_append(updates, 'TOUCH organization:a#member@user:b')", [3]),
        ("ledger", "updates = updates[2:]", [3]),
        ("ledger", "actor = 'user:nobody'", [3]),
        ("ledger", "channel = 'system'", [3]),
        ("ledger", "request_id = ''", [3]),
        ("ledger", "catalog_version = 'older'", [3]),
        ("ledger", "reason_hash = 'x'", [3]),
        ("ledger", "decided_at = decided_at - '1 microsecond'::interval", [3]),
        ("ledger", "hash = 'x'", [3, 4]),
        ("ledger", "position = 1003", [1003]),
        ("events", "kind = 'nothing'", [3]),
        ("events", "actor = 'user:nobody'", [3]),
        ("events", "subject = NULL", [3]),
        ("events", "details = '{}'", [3]),
        ("events", "details = details || '{\"more\": 1}'", [3]),
        ("events", "occurred_at = occurred_at + '1 day'::interval", [3]),
        ("events", "hash = 'x'", [3, 4]),
    ],
)
async def test_an_altered_entry_is_detected(
    history: Organization,
    superuser_connection: Connection,
    table: str,
    alteration: str,
    shows_at: list[int],
) -> None:
    key, broken = {
        "ledger": ("organization_id", broken_entries),
        "events": ("chain", broken_events),
    }[table]
    transaction = superuser_connection.transaction()
    await transaction.start()
    await superuser_connection.execute("SET LOCAL session_replication_role = replica")
    changed = await superuser_connection.execute(
        f"UPDATE {table} SET {alteration} WHERE {key} = '{history.id}' AND position = 3"
    )
    assert changed == "UPDATE 1"
    assert set(shows_at) <= set(await broken(superuser_connection, history.id))
    await transaction.rollback()
    assert await broken(superuser_connection, history.id) == []


@pytest.mark.parametrize("table", ["ledger", "events"])
async def test_a_missing_entry_is_detected(
    history: Organization, superuser_connection: Connection, table: str
) -> None:
    transaction = superuser_connection.transaction()
    await transaction.start()
    await superuser_connection.execute("SET LOCAL session_replication_role = replica")
    for name, key in CHAINS:
        await superuser_connection.execute(
            f"DELETE FROM {name} WHERE {key} = '{history.id}' AND position = 3"
        )
    assert await broken_entries(superuser_connection, history.id) == [4]
    assert await broken_events(superuser_connection, history.id) == [4]
    await transaction.rollback()


async def test_a_reason_is_in_the_chain_as_a_hash_and_can_be_erased(
    acme: Organization, superuser_connection: Connection
) -> None:
    bob = await acme.member("bob", roles=["product"])
    why = "asked by phone, 555-0100"
    await acme.administrator.ask(
        "PUT",
        f"{acme.path}/members/{bob.id}/roles",
        json={"roles": [{"role": "support"}], "reason": why},
    )
    entry = (await ledger_entries(acme))[-1]
    assert entry.reason_hash is not None
    [reason] = await superuser_connection.fetch(
        "SELECT * FROM reasons WHERE hash = $1", entry.reason_hash
    )
    assert reason["text"] == why
    await superuser_connection.execute("DELETE FROM reasons WHERE hash = $1", entry.reason_hash)
    assert await broken_entries(superuser_connection, acme.id) == []
    assert await broken_events(superuser_connection, acme.id) == []
    for table in ("ledger", "events"):
        row = f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%555-0100%'"
        assert await superuser_connection.fetchval(row) == 0
