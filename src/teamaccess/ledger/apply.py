"""Bring decided entries into SpiceDB: in order, exactly once, whoever tries and however often."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog
from sqlalchemy import ColumnElement, Select, Update, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased

from teamaccess.engine import AlreadyThere, Engine, EngineRefused
from teamaccess.ledger.entry import Entry
from teamaccess.models import ApplicationStatus, LedgerApplication, LedgerEntry, OrganizationId
from teamaccess.relationships import Touch

log = structlog.get_logger()

REMEMBERED = 100_000
WRITES_AT_ONCE = 6
"""More of them only make SpiceDB's transactions fail to serialize, and be tried again."""

_OPEN = (
    update(LedgerApplication)
    .where(
        LedgerApplication.organization_id == bindparam("organization"),
        LedgerApplication.status != ApplicationStatus.APPLIED,
    )
    .values(attempts=LedgerApplication.attempts + 1)
)
APPLIED = _OPEN.where(LedgerApplication.position <= bindparam("until")).values(
    status=ApplicationStatus.APPLIED,
    zed_token=bindparam("token"),
    enforced_at=func.clock_timestamp(),
    refusal=None,
)
"""What lies before an applied entry was applied before it, also where the mark of that was lost."""
REFUSED = _OPEN.where(LedgerApplication.position == bindparam("until")).values(
    status=ApplicationStatus.REFUSED, refusal=bindparam("why")
)


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
    """The last entry of an organization that this process saw arrive in SpiceDB, and when."""

    hash: bytes
    token: str
    at: float


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
        self._writing = asyncio.Semaphore(WRITES_AT_ONCE)

    async def apply(self, entries: Sequence[Entry]) -> str:
        """Apply entries of one organization that follow on what is confirmed.

        Returns the last one's token. Raises EngineUnavailable where SpiceDB does not answer (the
        rest stays pending), and EngineRefused where it never will (the organization stops).
        """
        async with self._lock(entries[0].organization):
            tokens = [self._known(entry) or await self._confirm(entry) for entry in entries]
        return tokens[-1]

    async def catch_up(
        self, organization: OrganizationId, head: bytes | None = None, since: float = inf
    ) -> str | None:
        """Apply all that is pending; return the token at which it holds, None where nothing was.

        `head` is the hash up to which it must be there and `since` when its caller began to look,
        by `time.monotonic()`: often another request of this process has brought it in meanwhile.
        What was confirmed before that is not believed: a database that calls it pending all the same
        has lost the mark or was restored, and so may SpiceDB have been.
        """
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == head and confirmed.at >= since:
                return confirmed.token
            tokens = [await self._confirm(entry) for entry in await self._pending(organization)]
            return tokens[-1] if tokens else await self._newest_token(organization)

    async def waiting(self, *, stopped: bool = False) -> list[OrganizationId]:
        """Return the organizations that have something pending; those that `stopped` if asked."""
        status = ApplicationStatus.REFUSED if stopped else ApplicationStatus.PENDING
        async with self._marks.connect() as connection:
            rows = await connection.scalars(
                select(LedgerApplication.organization_id)
                .where(LedgerApplication.status == status, _beyond_applied())
                .distinct()
            )
            return list(rows)

    def _lock(self, organization: OrganizationId) -> asyncio.Lock:
        return self._locks.setdefault(organization, asyncio.Lock())

    def _known(self, entry: Entry) -> str | None:
        """Return the token of an entry that another request has confirmed meanwhile."""
        confirmed = self._confirmed.get(entry.organization)
        return confirmed.token if confirmed and confirmed.hash == entry.hash else None

    async def _confirm(self, entry: Entry) -> str:
        try:
            token = await self._write(entry)
        except EngineRefused as refused:
            await self._mark(REFUSED, entry, why=str(refused))
            name = f"{entry.organization}:{entry.position}"
            log.error("entry_refused", entry=name, why=str(refused))
            raise
        await self._mark(APPLIED, entry, token=token)
        if len(self._confirmed) >= REMEMBERED:
            self._confirmed.clear()
        self._confirmed[entry.organization] = Confirmed(entry.hash, token, time.monotonic())
        return token

    async def _write(self, entry: Entry) -> str:
        marker = entry.marker(datetime.now(UTC))
        try:
            async with self._writing:
                return await self._engine.write(
                    entry.updates, create=[marker], metadata=entry.metadata
                )
        except AlreadyThere:
            # SpiceDB also says so of a marker whose 30 days are over and that nobody has cleared
            # away yet; that one is renewed, which gives a token as well.
            return await self._engine.find(marker) or await self._engine.write(
                [Touch(marker)], metadata=entry.metadata
            )

    async def _mark(self, statement: Update, entry: Entry, **outcome: str) -> None:
        # Losing this row in a crash loses nothing: the marker answers for it at the next attempt. So
        # the connections of `marks` do not wait for the disk.
        which = {"organization": entry.organization, "until": entry.position}
        async with self._marks.begin() as connection:
            await connection.execute(statement, {**which, **outcome})

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
                    _beyond_applied(),
                )
                .order_by(LedgerEntry.position)
            )
            return [Entry.of(row) for row in rows]

    async def _newest_token(self, organization: OrganizationId) -> str | None:
        async with self._marks.connect() as connection:
            token: str | None = await connection.scalar(newest_token(organization))
            return token


def _beyond_applied() -> ColumnElement[bool]:
    """Whether an application lies beyond all that is applied: only that can be missing."""
    applied = aliased(LedgerApplication)
    newest = (
        select(func.coalesce(func.max(applied.position), 0))
        .where(
            applied.organization_id == LedgerApplication.organization_id,
            applied.status == ApplicationStatus.APPLIED,
        )
        .correlate(LedgerApplication)
        .scalar_subquery()
    )
    return LedgerApplication.position > newest
