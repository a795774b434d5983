"""The migrated database is the one that the models describe."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url, select, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from teamaccess.local.postgres.server import OWNER, SUPERUSER, LocalPostgres
from teamaccess.storage import Base, Finding, InvitationMail
from teamaccess.storage.migrations import upgrade
from teamaccess.storage.records.ledger import TransactionId
from tests.support.deployment import Deployment

DESCRIBED = "teamaccess_described"
MIGRATED = "teamaccess_migrated"
GROWN = "teamaccess_grown"
SPELT = "teamaccess_spelt"
MAILED = "teamaccess_mailed"
INSERT_FINDINGS = """
INSERT INTO findings (kind, organization_id, fingerprint, details)
VALUES ('foreign_write', 'acme', 'a', '{"count": 3, "updates": %(updates)s, "zed_token": "z"}'),
       ('foreign_write', 'ghost', 'b', '{"count": 500, "updates": %(updates)s, "zed_token": "z"}'),
       ('drift', 'acme', 'c', '{"counts": {"extra": 1}}')
"""
INSERT_INVITATIONS = """
INSERT INTO invitations (organization_id, id, email, invitee, token_hash, invited_by, sent_at, times_sent,
  expires_at)
VALUES ('acme', 'new', 'B.ob+1@gmail.com', repeat('0', 64), 'a', 'usr_1', now(), 2, now()),
       ('acme', 'old', 'eve@x.example', repeat('0', 64), 'b', 'usr_1', now() - interval '2 days', 1,
        now())
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 't'
ORDER BY 1, 2
"""
INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2
"""
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
"""
PERSISTENCE = """
SELECT relname, relpersistence::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1
"""


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
def described(postgres: LocalPostgres) -> str:
    """An empty database, in which the test creates the tables from the models."""
    postgres.create_database(DESCRIBED, owner=OWNER)
    return postgres.url(DESCRIBED, OWNER)


def _differences(connection: Connection) -> list[Any]:
    assert isinstance(connection.dialect, PGDialect)
    connection.dialect.ischema_names["xid8"] = TransactionId  # which SQLAlchemy does not know
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


async def test_alembic_finds_nothing_to_migrate(fintoc: Deployment) -> None:
    async with _connected(fintoc.owner_url) as connection:
        assert await connection.run_sync(_differences) == []


@pytest.mark.parametrize("question", [COLUMNS, CONSTRAINTS, INDEXES, PERSISTENCE])
async def test_columns_constraints_and_indexes_match_the_models_exactly(
    fintoc: Deployment, described: str, question: str
) -> None:
    async with _connected(described) as connection:
        await connection.run_sync(Base.metadata.create_all)
        wanted = (await connection.execute(text(question))).all()
    async with _connected(fintoc.owner_url) as connection:
        found = (await connection.execute(text(question))).all()
    assert [row for row in found if row[0] != "alembic_version"] == wanted


async def test_an_empty_database_is_migrated_once(postgres: LocalPostgres) -> None:
    postgres.create_database(MIGRATED, owner=OWNER)
    url = postgres.url(MIGRATED, OWNER)
    for _ in range(2):
        await asyncio.to_thread(upgrade, url)
    async with _connected(url) as connection:
        assert await connection.run_sync(_differences) == []


async def test_details_of_another_tenant_are_removed_from_old_findings(
    postgres: LocalPostgres,
) -> None:
    postgres.create_database(GROWN, owner=OWNER)
    url = postgres.url(GROWN, OWNER)
    await asyncio.to_thread(upgrade, url, "0003")
    acme = ["TOUCH organization:acme#member@user:eve", "DELETE team:acme/pay#member@user:eve"]
    reported = [acme[0], "TOUCH organization:ghost#member@user:eve", acme[1]]
    async with _connected(url) as connection:
        await connection.exec_driver_sql(INSERT_FINDINGS % {"updates": json.dumps(reported)})
    await asyncio.to_thread(upgrade, url)
    async with _connected(url) as connection:
        details = list(await connection.scalars(select(Finding.details).order_by(Finding.id)))
    assert details == [
        {"count": 2, "updates": acme, "zed_token": "z"},
        {"count": 500, "updates": [reported[1]], "zed_token": "z"},
        {"counts": {"extra": 1}},
    ]


async def test_addresses_are_stored_in_lower_case_where_that_is_free(
    postgres: LocalPostgres,
) -> None:
    postgres.create_database(SPELT, owner=OWNER)
    url = postgres.url(SPELT, OWNER)
    await asyncio.to_thread(upgrade, url, "0013")
    people = {
        "old": "Ünal@acme.example",
        "second": "ÜNAL@acme.example",
        "nikos": "ΝΊΚΟΣ@acme.example",
        "plain": "ana@acme.example",
        "nobody": None,
    }
    async with _connected(url) as connection:
        for day, (id, email) in enumerate(people.items()):
            await connection.execute(
                text(
                    "INSERT INTO users (id, email, created_at)"
                    " VALUES (:id, :email, timestamptz '2026-01-01' + :day * interval '1 day')"
                ),
                {"id": id, "email": email, "day": day},
            )
    await asyncio.to_thread(upgrade, url)
    async with _connected(url) as connection:
        rows = await connection.execute(text("SELECT id, email FROM users"))
        stored = {row.id: row.email for row in rows}
    assert stored == people | {
        "old": "ünal@acme.example",
        "nikos": "νίκος@acme.example",
    }


async def test_mails_of_the_last_day_stay_counted(postgres: LocalPostgres) -> None:
    postgres.create_database(MAILED, owner=OWNER)
    url = postgres.url(MAILED, OWNER)
    await asyncio.to_thread(upgrade, url, "0013")
    async with _connected(postgres.url(MAILED, SUPERUSER)) as connection:
        await connection.exec_driver_sql("SET session_replication_role = replica")
        await connection.exec_driver_sql(INSERT_INVITATIONS)
    await asyncio.to_thread(upgrade, url)
    async with _connected(url) as connection:
        counted = select(InvitationMail.mailbox, InvitationMail.sent_by)
        assert (await connection.execute(counted)).all() == [("bob@gmail.com", "usr_1")] * 2
