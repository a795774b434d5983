"""What the role of the application in the database cannot do."""

import pytest
from asyncpg import (
    DataError,
    InsufficientPrivilegeError,
    IntegrityConstraintViolationError,
    PostgresError,
)

from teamaccess.storage import Base
from tests.support.agreement import applied_positions, assert_agreement, ledger_entries
from tests.support.database_connections import Connection, run_transaction
from tests.support.organization import Organization

TABLES = sorted([*Base.metadata.tables, "alembic_version"])
LEDGER = (
    "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version, {})"
)
FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ('{}', {}, 'user:eve', 'api', 'forged', 'none')
"""
EVENTS = "INSERT INTO events (chain, kind, actor, channel, request_id, details, {})"


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE {}",
        "TRUNCATE {} CASCADE",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "ALTER TABLE {} DISABLE TRIGGER USER",
        "ALTER TABLE {} ADD COLUMN mine text",
        "CREATE TRIGGER mine BEFORE INSERT ON {} EXECUTE FUNCTION refuse()",
        "CREATE RULE mine AS ON INSERT TO {} DO INSTEAD NOTHING",
        "ALTER TABLE {} OWNER TO teamaccess",
        "DROP TABLE {}",
    ],
)
async def test_the_application_owns_no_table(
    application_connection: Connection, statement: str
) -> None:
    for table in TABLES:
        with pytest.raises(InsufficientPrivilegeError):
            await application_connection.execute(statement.format(table))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "SET ROLE teamaccess_owner",
        "SET SESSION AUTHORIZATION teamaccess_owner",
        "DROP TRIGGER ledger_note_delete ON memberships",
        "DROP FUNCTION ledger_note() CASCADE",
        "CREATE OR REPLACE FUNCTION ledger_note() RETURNS trigger LANGUAGE plpgsql AS ''",
        "ALTER FUNCTION ledger_drain() SECURITY INVOKER",
        "CALL note_changes('users')",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION refuse()",
        "COPY users TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
async def test_the_application_cannot_change_triggers_functions_and_settings(
    application_connection: Connection, statement: str
) -> None:
    with pytest.raises(InsufficientPrivilegeError):
        await application_connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger_notes (source) VALUES ('memberships')",
        "SELECT * FROM ledger_notes",
        "UPDATE ledger_heads SET position = 7",
        "UPDATE ledger_heads SET hash = ''",
        "DELETE FROM ledger_heads",
        "INSERT INTO ledger_heads VALUES ('acme', 0, '', now())",
        f"{LEDGER.format('position')} VALUES ('acme', '{{}}', '', '', '', '', 7)",
        f"{LEDGER.format('decided_at')} VALUES ('acme', '{{}}', '', '', '', '', now())",
        f"{LEDGER.format('previous_hash')} VALUES ('acme', '{{}}', '', '', '', '', '')",
        f"{LEDGER.format('hash')} VALUES ('acme', '{{}}', '', '', '', '', '')",
        "INSERT INTO ledger_applications (organization_id, position) VALUES ('acme', 7)",
        "UPDATE ledger_applications SET position = 7",
        "DELETE FROM ledger_applications",
        f"{EVENTS.format('position')} VALUES ('acme', '', '', '', '', '{{}}', 7)",
        f"{EVENTS.format('occurred_at')} VALUES ('acme', '', '', '', '', '{{}}', now())",
        f"{EVENTS.format('previous_hash')} VALUES ('acme', '', '', '', '', '{{}}', '')",
        f"{EVENTS.format('hash')} VALUES ('acme', '', '', '', '', '{{}}', '')",
        "INSERT INTO event_heads (chain, position, hash) VALUES ('acme', 0, '')",
        "UPDATE event_heads SET hash = ''",
        "DELETE FROM users",
        "DELETE FROM organizations",
    ],
)
async def test_the_application_cannot_write_positions_times_and_hashes(
    application_connection: Connection, statement: str
) -> None:
    with pytest.raises(InsufficientPrivilegeError):
        await application_connection.execute(statement)


@pytest.mark.parametrize(
    "updates", ["'{}'", "ARRAY[NULL]::text[]", "'{{a,b}}'", "NULL", "ARRAY[E'a\\nb']"]
)
async def test_two_different_entries_never_have_the_same_hash_input(
    acme: Organization, application_connection: Connection, updates: str
) -> None:
    with pytest.raises((IntegrityConstraintViolationError, DataError)):
        await application_connection.execute(FORGED.format(acme.id, updates))
    assert len(await ledger_entries(acme)) == len(await applied_positions(acme))


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        ("ledger_append", "ledger"),
        ("ledger_application", "ledger"),
        ("ledger_head", "organizations"),
        ("ledger_note", "memberships"),
        ("ledger_note_left_behind", "ledger_heads"),
        ("event_append", "events"),
    ],
)
async def test_the_owners_functions_cannot_be_used_on_another_table(
    acme: Organization, application_connection: Connection, function: str, shape: str
) -> None:
    before = [entry.hash for entry in await ledger_entries(acme)]
    with pytest.raises(PostgresError, match=f"permission denied for function {function}"):
        await run_transaction(
            application_connection,
            f"CREATE TEMPORARY TABLE mine (LIKE {shape})",
            f"CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {function}()",
        )
    assert [entry.hash for entry in await ledger_entries(acme)] == before


async def test_a_temporary_table_with_the_same_name_has_no_effect(
    acme: Organization, application_connection: Connection
) -> None:
    with pytest.raises(PostgresError, match="would not reach the ledger"):
        await run_transaction(
            application_connection,
            "CREATE TEMPORARY TABLE ledger_notes (id bigint, source text, before jsonb, after jsonb)",
            "SET LOCAL search_path = pg_temp, public",
            f"DELETE FROM memberships WHERE organization_id = '{acme.id}'",
        )
    await assert_agreement(acme)
