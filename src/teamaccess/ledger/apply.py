"""Bring decided entries into SpiceDB: in order, exactly once, whoever tries and however often."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import structlog
from authzed.api.v1 import RelationshipFilter, SubjectFilter
from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.engine import AlreadyThere, Engine, EngineRefused
from teamaccess.ledger.entry import Entry
from teamaccess.models import ApplicationStatus, LedgerApplication, LedgerEntry, OrganizationId
from teamaccess.relationships import Relationship

log = structlog.get_logger()


def newest_token(organization: OrganizationId) -> Select[tuple[str | None]]:
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


class Applier:
    """Applies entries to SpiceDB and keeps what became of them.

    The position markers make every attempt safe: an entry that is already there is refused whole,
    which confirms it. The locks only spare the processes that share them the second attempt.
    """

    def __init__(self, engine: Engine, marks: AsyncEngine) -> None:
        self._engine = engine
        self._marks = marks
        self._locks: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()
        self._confirmed: dict[OrganizationId, tuple[int, str]] = {}

    async def apply(self, entries: Iterable[Entry]) -> str | None:
        """Apply entries of one organization that follow on what is confirmed; return the last token.

        Raises EngineUnavailable where SpiceDB does not answer (the entry stays pending), and
        EngineRefused where it never will (the entry is marked so, and the organization stops).
        """
        token = None
        for entry in entries:
            async with self._lock(entry.organization):
                token = await self._confirm(entry)
        return token

    async def catch_up(self, organization: OrganizationId, head: int) -> str:
        """Apply all that is pending up to `head`; return the token at which it holds."""
        async with self._lock(organization):
            position, token = self._confirmed.get(organization, (0, ""))
            if position >= head:
                return token
            for entry in await self._pending(organization):
                token = await self._confirm(entry)
            return token or await self._newest_token(organization)

    def _lock(self, organization: OrganizationId) -> asyncio.Lock:
        return self._locks.setdefault(organization, asyncio.Lock())

    async def _confirm(self, entry: Entry) -> str:
        position, token = self._confirmed.get(entry.organization, (0, ""))
        if position >= entry.position:
            return token
        try:
            token = await self._write(entry)
        except EngineRefused as refused:
            await self._mark(entry, status=ApplicationStatus.REFUSED, refusal=str(refused))
            log.error(
                "entry_refused", entry=f"{entry.organization}:{entry.position}", why=str(refused)
            )
            raise
        await self._mark(
            entry,
            status=ApplicationStatus.APPLIED,
            zed_token=token,
            enforced_at=func.clock_timestamp(),
        )
        self._confirmed[entry.organization] = entry.position, token
        return token

    async def _write(self, entry: Entry) -> str:
        marker = entry.marker(datetime.now(UTC))
        try:
            return await self._engine.write(entry.updates, create=[marker], metadata=entry.metadata)
        except AlreadyThere:
            return await self._token_of(marker)

    async def _token_of(self, marker: Relationship) -> str:
        """Return a token at which the marker is there: somebody else has applied the entry."""
        subject = marker.subject.object
        held = self._engine.read(
            RelationshipFilter(
                resource_type=marker.resource.type,
                optional_resource_id=marker.resource.id,
                optional_relation=marker.relation,
                optional_subject_filter=SubjectFilter(
                    subject_type=subject.type, optional_subject_id=subject.id
                ),
            )
        )
        async for _, token in held:
            return token
        raise EngineRefused("MARKER_MISSING", f"{marker} is said to be there and is not")

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
            return (await connection.execute(newest_token(organization))).scalar_one()
