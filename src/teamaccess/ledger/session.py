"""The session whose commit brings every changed row into the ledger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import msgspec
from sqlalchemy import Table, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from teamaccess.catalog import Catalog
from teamaccess.ledger.attribution import Attribution
from teamaccess.ledger.dialect import DRIVER, sqlstate
from teamaccess.ledger.drain import Note, net_updates, positions
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import OrganizationBusy, SchemaViolation, UnattributedChange
from teamaccess.relationships import Update
from teamaccess.storage import LedgerEntry, OrganizationId

LEDGER = cast(Table, LedgerEntry.__table__)
APPEND = insert(LEDGER).returning(LEDGER.c.position, LEDGER.c.hash, LEDGER.c.previous_hash)
NOW = select(func.clock_timestamp())
DRAIN = text("SELECT source, before, after FROM ledger_drain()")


async def clock(session: AsyncSession) -> datetime:
    """Return PostgreSQL's clock, the one by which everything is decided."""
    now: datetime = (await session.execute(NOW)).scalar_one()
    return now


@dataclass
class Recording:
    """What one session has recorded in ledgers so far, and what each of its entries says."""

    catalog: Catalog
    attribution: Attribution | None = None
    """Who makes the change; without it no entry can be written."""
    reason_hash: bytes | None = None
    """The hash of the reason that was given, if one was."""
    entries: list[Entry] = field(default_factory=list)
    """The entries written so far; a rollback empties the list."""
    committing: list[Entry] = field(default_factory=list)
    """The entries of the commit under way. They survive a rollback: PostgreSQL may go away during the
    commit, and then nobody knows yet whether they exist."""


class LedgerSession(Session):
    """A session that drains PostgreSQL's notes into the ledger before each commit."""

    def __init__(self, *arguments: Any, catalog: Catalog, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recording = Recording(catalog)


def recording_of(session: Session | AsyncSession) -> Recording:
    """Return what a session records; raises TypeError for one that `sessions` did not make."""
    ledger = session.sync_session if isinstance(session, AsyncSession) else session
    if not isinstance(ledger, LedgerSession):
        raise TypeError("only a LedgerSession records changes")
    return ledger.recording


Sessions = async_sessionmaker[AsyncSession]


def sessions(engine: AsyncEngine, catalog: Catalog) -> Sessions:
    """Return the maker of the only sessions whose commits PostgreSQL accepts."""
    return async_sessionmaker(
        engine,
        sync_session_class=LedgerSession,
        expire_on_commit=False,
        catalog=catalog,
    )


PATIENCE = {
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "15s",
}
"""Nobody waits longer for one organization's lock, and a frozen process does not keep it."""


LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that was not had in `lock_timeout`."""


@contextmanager
def refusing_busy(*organizations: OrganizationId) -> Iterator[None]:
    """Raise OrganizationBusy where their locks are not had in time."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise OrganizationBusy(organization=", ".join(organizations)) from error
        raise


UNHURRIED = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")
"""For a transaction in which SpiceDB is asked for all that it holds."""


def database(
    url: str, connections: int = 8, *, transactions: bool = True, **options: str
) -> AsyncEngine:
    """Return a pool of connections to PostgreSQL, in UTC whatever the server's own zone.

    Without `transactions` each statement stands alone: no BEGIN before and no COMMIT after it.
    """
    return create_async_engine(
        make_url(url).set(drivername=DRIVER),
        isolation_level=None if transactions else "AUTOCOMMIT",
        connect_args={"server_settings": {"timezone": "UTC", **PATIENCE, **options}},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # of this dialect: costs no round trip
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,  # an error that is logged names no address and no hash
    )


@event.listens_for(LedgerSession, "before_commit")
def drain(session: Session) -> None:
    """Append what the transaction's changed rows mean, in the same transaction."""
    if session.in_nested_transaction():
        return
    session.flush()
    notes = [Note(*row) for row in session.connection().execute(DRAIN)]
    for organization, updates in net_updates(notes).items():
        append(session, organization, updates)
    recording = recording_of(session)
    recording.committing = recording.entries


def append(session: Session, organization: OrganizationId, updates: list[Update]) -> None:
    """Append updates to the organization's ledger, as one position or more."""
    recording_of(session).entries.extend(
        _append(session, organization, part) for part in positions(updates)
    )


@event.listens_for(LedgerSession, "after_rollback")
def forget(session: Session) -> None:
    """Forget the entries: a rollback undoes them, and they must never reach SpiceDB."""
    recording_of(session).entries = []


def _append(session: Session, organization: OrganizationId, updates: list[Update]) -> Entry:
    recording = recording_of(session)
    catalog, attribution = recording.catalog, recording.attribution
    if attribution is None:
        raise UnattributedChange(
            f"{len(updates)} updates in {organization}, the first: {updates[0]}"
        )
    _refuse_foreign(catalog.permits, updates)
    row = (
        session.connection()
        .execute(
            APPEND,
            {
                "organization_id": organization,
                "updates": [str(update) for update in updates],
                "actor": attribution.actor,
                "channel": attribution.channel,
                "request_id": attribution.request_id,
                "catalog_version": catalog.version,
                "reason_hash": recording.reason_hash,
            },
        )
        .one()
    )
    return Entry(
        organization=organization,
        position=row.position,
        hash=row.hash,
        previous_hash=row.previous_hash,
        updates=tuple(updates),
        actor=attribution.actor,
        request_id=attribution.request_id,
    )


def _refuse_foreign(permits: Callable[..., bool], updates: list[Update]) -> None:
    """SpiceDB would refuse such a relationship for good, after the commit; so nothing is committed."""
    for update in updates:
        if not permits(update.relationship):
            raise SchemaViolation(f"the schema has no place for {update.relationship}")
