"""Apply ledger entries to SpiceDB: in order and exactly once, with any number of attempts."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import ARRAY, BigInteger, Text, bindparam, func, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from teamaccess.delivery import queue, stopped
from teamaccess.delivery.applications import newest_confirmed, pending_entries
from teamaccess.delivery.position import require_predecessor
from teamaccess.delivery.provenance import runs
from teamaccess.delivery.writer import Write, Writer, merge_entries, write_metadata
from teamaccess.engine import Engine
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.ledger.session import database_time
from teamaccess.storage import DONE, ApplicationStatus, LedgerApplication, OrganizationId, RunKind

log = structlog.get_logger()

REMEMBERED = 100_000
_positions = (
    func.unnest(
        bindparam("organizations", type_=ARRAY(Text)), bindparam("until", type_=ARRAY(BigInteger))
    )
    .table_valued("organization", "until")
    .render_derived("arrived")
)
CONFIRM = (
    update(LedgerApplication)
    .where(
        LedgerApplication.organization_id == _positions.c.organization,
        LedgerApplication.position <= _positions.c.until,
        LedgerApplication.status.not_in(DONE),
    )
    .values(
        status=ApplicationStatus.APPLIED,
        zed_token=bindparam("token"),
        enforced_at=func.clock_timestamp(),
        refusal=None,
    )
)
"""Entries are applied in order. So all entries before an applied one are applied too, even if a crash
lost the record of that."""


class Confirmed(NamedTuple):
    """The last entry of an organization that this process applied, and when."""

    hash: bytes
    token: str
    at: float


class Applier:
    """Applies entries to SpiceDB and records the outcome.

    The markers make every attempt safe. SpiceDB refuses a second delivery as a whole, which confirms the
    first one. The locks and the memory of this class only save second attempts.
    """

    def __init__(self, engine: Engine, status_pool: AsyncEngine) -> None:
        self._engine = engine
        self._status_pool = status_pool
        self._writer = Writer(engine, self._record_arrival, self._permit_entry, self._read_clock)
        self._locks: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()
        self._confirmed: dict[OrganizationId, Confirmed] = {}

    async def close(self) -> None:
        """Wait for the writes that are under way. The connections must stay open until then."""
        await self._writer.close()

    async def apply(self, entries: Sequence[Entry]) -> str:
        """Apply the entries of one organization that follow the confirmed ones. Return the last ZedToken.

        Raises EngineUnavailable if SpiceDB does not answer (the rest stays pending), EngineRefused if it
        refuses an entry for good (the organization stops), and OtherHistory if it already has another
        ledger of that organization.
        """
        organization, last = entries[0].organization, entries[-1]
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == last.hash:
                return confirmed.token  # another request has applied it meanwhile
            if entries[0].position == 1:
                # before later positions, the change has already proven the history
                await require_predecessor(self._engine, entries)
            return await self._send(entries)

    async def catch_up(
        self, organization: OrganizationId, head: bytes | None = None, since: float = inf
    ) -> str | None:
        """Apply all pending entries. Return the newest ZedToken, None if the ledger is empty.

        `head` is the hash of the newest entry, and `since` the time by `time.monotonic()` at which the
        caller began to look. Often another request of this process has applied the head since then. An
        older confirmation does not count: if the database still says pending, it lost the record or was
        restored. SpiceDB may have been restored too, and then this raises OtherHistory.
        """
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == head and confirmed.at >= since:
                return confirmed.token
            token: str | None = None
            while pending := await self._pending(organization):
                await require_predecessor(self._engine, pending)
                token = await self._send(pending)
            if token is None:
                async with self._status_pool.begin() as connection:
                    token = await settle_applications(connection, organization)
            return token

    async def revoke_ahead(self, entries: Sequence[Entry]) -> str:
        """Apply the revocations of entries before their turn. Return the ZedToken.

        In their turn, the entries are written again, which then changes nothing. SECURITY: our database
        permits the writes first, because the watcher does not trust a write's metadata.
        """
        await self._permit(RunKind.AHEAD, entries)
        tokens = [
            await self._engine.write(entry.updates, metadata=write_metadata([entry], ahead=True))
            for entry in entries
        ]
        return tokens[-1]

    async def skip(self, entry: Entry) -> str:
        """Write the marker of an entry without its updates. Return the ZedToken.

        Raises OtherHistory if SpiceDB's head is not the position before the entry.
        """
        without_updates = replace(entry, updates=())
        async with self._lock(entry.organization):
            await require_predecessor(self._engine, [entry])
            await self._permit(RunKind.SKIP, [entry])
            return await self._writer.send(Write((without_updates,)))

    async def hand_over(self, organization: OrganizationId) -> None:
        """Leave the organization's pending entries to the workers."""
        async with self._status_pool.begin() as connection:
            await queue.hand_over(connection, organization)

    def _lock(self, organization: OrganizationId) -> asyncio.Lock:
        return self._locks.setdefault(organization, asyncio.Lock())

    async def _pending(self, organization: OrganizationId) -> list[Entry]:
        async with self._status_pool.begin() as connection:
            try:
                return await pending_entries(connection, organization)
            except PositionRefused as unreadable:
                await self._stop(unreadable)
                raise

    async def _send(self, entries: Sequence[Entry]) -> str:
        """Write the entries and return the last ZedToken. A refused entry stops the organization."""
        try:
            tokens = [await self._writer.send(write) for write in merge_entries(entries)]
        except PositionRefused as refused:
            await self._stop(refused)
            raise
        return tokens[-1]

    async def _stop(self, refused: PositionRefused) -> None:
        async with self._status_pool.begin() as connection:
            await stopped.stop(connection, refused)
        entry = f"{refused.organization}:{refused.position}"
        log.error("organization_stopped", entry=entry, cause=str(refused))

    async def _permit_entry(self, kind: RunKind, entry: Entry) -> None:
        await self._permit(kind, [entry])

    async def _permit(self, kind: RunKind, entries: Sequence[Entry]) -> None:
        """Record in our database that updates of these entries will be written out of turn."""
        async with self._status_pool.begin() as connection:
            for entry in entries:
                position = (entry.organization, entry.position)
                await runs.begin_runs(connection, kind, [position], request_id=entry.request_id)

    async def _read_clock(self) -> datetime:
        async with self._status_pool.begin() as connection:
            return await database_time(connection)

    async def _record_arrival(self, writes: Sequence[Write], token: str) -> None:
        # A crash may lose these rows without harm, because the markers confirm the entries at the next
        # attempt. So these connections do not wait for the disk.
        async with self._status_pool.begin() as connection:
            await confirm(connection, [write.last for write in writes], token)
        if len(self._confirmed) >= REMEMBERED:
            self._confirmed.clear()
        for write in writes:
            self._confirmed[write.organization] = Confirmed(
                write.last.hash, token, time.monotonic()
            )


async def confirm(connection: AsyncConnection, entries: Sequence[Entry], token: str) -> None:
    """Record that SpiceDB has these entries, one for each organization, and all entries before them."""
    await connection.execute(
        CONFIRM,
        {
            "organizations": [entry.organization for entry in entries],
            "until": [entry.position for entry in entries],
            "token": token,
        },
    )


async def settle_applications(
    connection: AsyncConnection, organization: OrganizationId
) -> str | None:
    """Return the ZedToken of the newest confirmed entry, None if there is none.

    It also confirms all entries before that one, in case a crash lost these records.
    """
    row = (await connection.execute(newest_confirmed(organization))).one_or_none()
    if row is None:
        return None
    await connection.execute(
        CONFIRM,
        {"organizations": [organization], "until": [row.position], "token": row.zed_token},
    )
    return str(row.zed_token)
