"""Bring decided entries into SpiceDB: in order, exactly once, whoever tries and however often."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.engine import AlreadyThere, Engine, EngineRefused
from teamaccess.ledger.entry import Entry
from teamaccess.models import ApplicationStatus, LedgerApplication, LedgerEntry, OrganizationId
from teamaccess.relationships import Relationship

log = structlog.get_logger()

REMEMBERED = 100_000


def newest_token(organization: OrganizationId) -> Select[str | None]:
    """Select the ZedToken of the organization's last confirmed change."""
    return (
        select(LedgerApplication.zed_token)
        .where(
            LedgerApplication.organization_id == organization,
            LedgerApplication.status == ApplicationStatus.APPLIED,
        )
        .order_by(LedgerApplication.position.desc())
        .limit(1)
    )


class Confirmed(NamedTuple):
    """The last entry of an organization that this process saw arrive in SpiceDB."""

    hash: bytes
    token: str


class Applier:
    """Applies entries to SpiceDB and keeps what became of them.

    The position markers make every attempt safe: an entry that is already there is refused whole,
    which confirms it. The locks and what is remembered here only spare the second attempt.
    """

    def __init__(self, engine: Engine, marks: AsyncEngine) -> None:
        self._engine = engine
        self._marks = marks
        self._locks: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()
        self._confirmed: dict[OrganizationId, Confirmed] = {}

    async def apply(self, entries: Sequence[Entry]) -> str:
        """Apply entries of one organization that follow on what is confirmed.

        Returns the last one's token. Raises EngineUnavailable where SpiceDB does not answer (the
        rest stays pending), and EngineRefused where it never will (the organization stops).
        """
        async with self._lock(entries[0].organization):
            tokens = [await self._confirm(entry) for entry in entries]
        return tokens[-1]

    async def catch_up(self, organization: OrganizationId, head: bytes | None = None) -> str:
        """Apply all that is pending; return the token at which it holds.

        `head` is the hash up to which it must be there, where the caller knows it: often another
        request of this process has just brought it in.
        """
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == head:
                return confirmed.token
            token = None
            for entry in await self._pending(organization):
                token = await self._confirm(entry)
            return token or await self._newest_token(organization)

    async def waiting(self) -> list[OrganizationId]:
        """Return the organizations that have something pending and are not stopped."""
        stopped = (
            select(LedgerApplication.organization_id)
            .where(LedgerApplication.status == ApplicationStatus.REFUSED)
            .scalar_subquery()
        )
        async with self._marks.connect() as connection:
            rows = await connection.scalars(
                select(LedgerApplication.organization_id)
                .where(
                    LedgerApplication.status == ApplicationStatus.PENDING,
                    LedgerApplication.organization_id.not_in(stopped),
                )
                .distinct()
            )
            return list(rows)

    def _lock(self, organization: OrganizationId) -> asyncio.Lock:
        return self._locks.setdefault(organization, asyncio.Lock())

    async def _confirm(self, entry: Entry) -> str:
        confirmed = self._confirmed.get(entry.organization)
        if confirmed is not None and confirmed.hash == entry.hash:
            return confirmed.token
        try:
            token = await self._write(entry)
        except EngineRefused as refused:
            await self._mark(entry, status=ApplicationStatus.REFUSED, refusal=str(refused))
            name = f"{entry.organization}:{entry.position}"
            log.error("entry_refused", entry=name, why=str(refused))
            raise
        now = func.clock_timestamp()
        await self._mark(entry, status=ApplicationStatus.APPLIED, zed_token=token, enforced_at=now)
        if len(self._confirmed) >= REMEMBERED:
            self._confirmed.clear()
        self._confirmed[entry.organization] = Confirmed(entry.hash, token)
        return token

    async def _write(self, entry: Entry) -> str:
        marker = entry.marker(datetime.now(UTC))
        try:
            return await self._engine.write(entry.updates, create=[marker], metadata=entry.metadata)
        except AlreadyThere:
            return await self._token_of(marker)

    async def _token_of(self, marker: Relationship) -> str:
        """Return a token at which the marker is there: somebody else has applied the entry."""
        token = await self._engine.find(marker)
        if token is None:
            raise EngineRefused("MARKER_MISSING", f"{marker} is said to be there and is not")
        return token

    async def _mark(self, entry: Entry, **outcome: object) -> None:
        # Losing this row in a crash loses nothing: the marker answers for it at the next attempt. So
        # the connections of `marks` do not wait for the disk.
        async with self._marks.begin() as connection:
            await connection.execute(
                update(LedgerApplication)
                .where(
                    LedgerApplication.organization_id == entry.organization,
                    LedgerApplication.position == entry.position,
                )
                .values(attempts=LedgerApplication.attempts + 1, **outcome)
            )

    async def _pending(self, organization: OrganizationId) -> list[Entry]:
        columns = [
            LedgerEntry.organization_id,
            LedgerEntry.position,
            LedgerEntry.hash,
            LedgerEntry.updates,
            LedgerEntry.actor,
            LedgerEntry.request_id,
        ]
        async with self._marks.connect() as connection:
            rows = await connection.execute(
                select(*columns)
                .join(
                    LedgerApplication,
                    (LedgerApplication.organization_id == LedgerEntry.organization_id)
                    & (LedgerApplication.position == LedgerEntry.position),
                )
                .where(
                    LedgerEntry.organization_id == organization,
                    LedgerApplication.status != ApplicationStatus.APPLIED,
                )
                .order_by(LedgerEntry.position)
            )
            return [Entry.of(row) for row in rows]

    async def _newest_token(self, organization: OrganizationId) -> str:
        async with self._marks.connect() as connection:
            return str(await connection.scalar(newest_token(organization)))
