"""Looks at every write that SpiceDB tells of: whoever goes round us is found within seconds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import bindparam, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from teamaccess.endless import wanted
from teamaccess.engine import EngineRefused, EngineUnavailable, Observed, TooLarge
from teamaccess.ledger import Entry
from teamaccess.ledger.findings import record
from teamaccess.ledger.provenance import (
    Claim,
    Place,
    by_tenant,
    claim,
    importable,
    taken_at_no_word,
    tenant,
    unexplained,
)
from teamaccess.ledger.relay import OUTAGES
from teamaccess.models import FindingKind, LedgerEntry, Organization, Reconciliation, WatchCursor
from teamaccess.reconciliation import importing
from teamaccess.relationships import InvalidRelationship, Revocation, Update
from teamaccess.service import Service
from teamaccess.worker.schema_watch import SchemaWatch

log = structlog.get_logger()

ASK_FOR = (
    insert(Reconciliation)
    .values(
        organization_id=bindparam("organization"),
        checked_at=func.clock_timestamp(),
        differences=0,
        asked_at=func.clock_timestamp(),
    )
    .on_conflict_do_update(
        index_elements=["organization_id"], set_={"asked_at": func.clock_timestamp()}
    )
)
ONE_WATCHES = text("SELECT pg_try_advisory_lock(hashtext('teamaccess/watch'))")
"""Held by a connection as long as it lives: of any number of workers one watches."""
PAUSE_SECONDS = 2.0
KEEP_SECONDS = 5.0
"""How often it is kept that nothing was written; what was written is kept at once."""
ANYBODY = "*"
"""Whom a write concerns that is too large to be told."""
MOST_TOLD = 100
"""Updates that a finding names one by one."""


class Watcher:
    """Follows SpiceDB's Watch from where it was left, and records every write that is not ours."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._schemas = SchemaWatch(service)
        self._kept_at = 0.0

    async def run(self) -> None:
        """Watch until cancelled, while no other worker does."""
        while wanted():
            try:
                async with self._turn() as mine:
                    while mine and wanted():
                        await self._watch()
            except OUTAGES as cause:
                log.warning("watch_waits", cause=repr(cause))
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        async with self._service.reads() as session:
            mine = bool(await session.scalar(ONE_WATCHES))
            try:
                yield mine
            finally:
                if mine:
                    await session.invalidate()  # ends the connection, and with it the lock

    async def _watch(self) -> None:
        """Follow one stream to its end; SpiceDB ends each after half a minute."""
        async with self._service.reads() as session:
            since = await session.scalar(select(WatchCursor.zed_token))
            if not since:  # it begins at the present, where it will see no end of what is over
                await importing.forget_ended(session)
        heard = False
        try:
            async for observed in self._service.engine.watch(since):
                if not heard:
                    await self._schemas.look()  # what comes after this is told by the stream
                heard = True
                if observed.schema_updated:
                    await self._schemas.written(observed.zed_token)
                if observed.updates or observed.unreadable:
                    await self._judge(observed)
                await self._keep(observed)
        except EngineUnavailable:
            if not heard:
                raise
        except EngineRefused as refused:
            log.error("watch_starts_again", why=str(refused))
            await self._forget()
        except TooLarge as unheard:
            log.error("watch_starts_again", why=str(unheard))
            await self._keep_finding(ANYBODY, {"why": str(unheard), "after": since})
            await self._forget()

    async def _judge(self, observed: Observed) -> None:
        claimed = claim(observed.metadata)
        ledger = await self._entries(claimed.places)
        foreign = unexplained(observed.updates, claimed, ledger)
        doubtful = taken_at_no_word(foreign, claimed)
        if named := importable(foreign, observed.metadata):
            doubtful |= await self._being_imported(named)
        if doubtful:
            compared = await self._compare_next(doubtful)
            gone = doubtful - compared  # of a tenant that no row knows, anything may be removed
            foreign = [
                each
                for each in foreign
                if tenant(each) not in compared
                and not (tenant(each) in gone and isinstance(each, Revocation))
            ]
        if foreign or observed.unreadable:
            await self._found(observed, foreign)
        await self._end_imports(claimed)

    async def _compare_next(self, names: set[str]) -> set[str]:
        """Have organizations compared with their rows before all others; return those that exist."""
        async with self._service.reads() as session:
            known = set(
                await session.scalars(select(Organization.id).where(Organization.id.in_(names)))
            )
            for id in known:
                await session.execute(ASK_FOR, {"organization": id})
        return {str(id) for id in known}

    async def _being_imported(self, names: set[str]) -> set[str]:
        async with self._service.reads() as session:
            return await importing.being_imported(session, names)

    async def _end_imports(self, claimed: Claim) -> None:
        """Take every further write that says nothing of itself for a stranger's again."""
        async with self._service.reads() as session:
            for filled in claimed.rebuild:
                if filled.imported:
                    await importing.ended(session, filled.organization, filled.imported)

    async def _entries(self, places: Sequence[Place]) -> dict[Place, Entry]:
        """Return the entries that a write claims to carry; what is in no ledger is left out."""
        key = tuple_(LedgerEntry.organization_id, LedgerEntry.position)
        async with self._service.reads() as session:
            rows = await session.scalars(select(LedgerEntry).where(key.in_(places)))
            return {(row.organization_id, row.position): _as_far_as_readable(row) for row in rows}

    async def _found(self, observed: Observed, foreign: list[Update]) -> None:
        """Keep a finding for each tenant, with nothing of another's."""
        for organization, told in by_tenant(foreign, observed.unreadable).items():
            log.error("foreign_write", organization=organization, count=len(told))
            details = {
                "updates": told[:MOST_TOLD],
                "count": len(told),
                "metadata": observed.metadata,
                "zed_token": observed.zed_token,
            }
            await self._keep_finding(organization, details)

    async def _keep_finding(self, organization: str, details: dict[str, Any]) -> None:
        async with self._service.reads() as session:
            await record(session, FindingKind.FOREIGN_WRITE, organization, details)

    async def _keep(self, observed: Observed) -> None:
        """Keep how far it was read; a write's place at once, an idle one's now and then."""
        now = asyncio.get_running_loop().time()
        if not observed.updates and now - self._kept_at < KEEP_SECONDS:
            return
        self._kept_at = now
        async with self._service.reads() as session:
            await session.execute(
                insert(WatchCursor)
                .values(id=1, zed_token=observed.zed_token)
                .on_conflict_do_update(
                    index_elements=[WatchCursor.id], set_={"zed_token": observed.zed_token}
                )
            )

    async def _forget(self) -> None:
        """Begin at the present: what lies between is what a comparison finds."""
        async with self._service.reads() as session:
            await session.execute(text("UPDATE watch_cursor SET zed_token = ''"))


def _as_far_as_readable(row: LedgerEntry) -> Entry:
    """Return the entry; one whose updates nobody can read may have been given up, without them."""
    try:
        return Entry.of(row)
    except InvalidRelationship:
        return Entry.of(row, updates=())
