"""Looks at every write that SpiceDB tells of: whoever goes round us is found within seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert

from teamaccess.common.process import should_continue
from teamaccess.delivery.provenance import runs
from teamaccess.delivery.provenance.writes import WriteClaim, group_by_tenant
from teamaccess.delivery.relay import OUTAGES
from teamaccess.engine import EngineRefused, EngineUnavailable, ObservedWrite, TooLarge
from teamaccess.service import Service
from teamaccess.storage import FindingKind, Reconciliation, WatchCursor
from teamaccess.upkeep.findings import record
from teamaccess.upkeep.worker.judgement import Judgement, judge
from teamaccess.upkeep.worker.schema_watch import SchemaWatch

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
KEEP = text("""
WITH seen AS (
  INSERT INTO watched_ledgers (organization_id, position)
  SELECT * FROM unnest(CAST(:organizations AS text[]), CAST(:positions AS bigint[]))
  ON CONFLICT (organization_id) DO UPDATE SET position = excluded.position
), filling AS (
  UPDATE engine_runs SET phase = 'filling' WHERE id = ANY (CAST(:filling AS bigint[]))
), settled AS (
  UPDATE engine_runs
  SET over_at = coalesce(over_at, clock_timestamp()), settled_at = clock_timestamp()
  WHERE id = ANY (CAST(:settled AS bigint[]))
), rebuilt AS (
  INSERT INTO reconciliations (organization_id, checked_at, differences, asked_at)
  SELECT id, clock_timestamp(), 0, clock_timestamp()
  FROM organizations WHERE id = ANY (CAST(:rebuilt AS text[]))
  ON CONFLICT (organization_id) DO UPDATE SET asked_at = clock_timestamp()
)
INSERT INTO watch_cursor (id, zed_token) VALUES (1, :zed_token)
ON CONFLICT (id) DO UPDATE SET zed_token = excluded.zed_token
""")
NOTHING = Judgement(WriteClaim())
NOT_OURS = "no run of ours may write this"
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
        while should_continue():
            try:
                async with self._turn() as mine:
                    while mine and should_continue():
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
                await runs.start_from_now(session)
        heard = False
        try:
            async for observed in self._service.engine.watch(since):
                if not heard:
                    await self._schemas.look()  # what comes after this is told by the stream
                heard = True
                await self._schemas.look_seldom()
                if observed.schema_updated:
                    await self._schemas.written(observed.zed_token)
                judgement = NOTHING
                if observed.updates or observed.unreadable:
                    judgement = await self._judge(observed)
                await self._keep(observed, judgement)
        except EngineUnavailable:
            if not heard:
                raise
        except EngineRefused as refused:
            log.error("watch_starts_again", why=str(refused))
            await self._schemas.gap(since, str(refused))
            await self._forget()
        except TooLarge as unheard:
            log.error("watch_starts_again", why=str(unheard))
            await self._schemas.gap(since, str(unheard))
            await self._keep_finding(ANYBODY, {"why": str(unheard), "after": since})
            await self._forget()

    async def _judge(self, observed: ObservedWrite) -> Judgement:
        """Judge a write, and keep a finding of what is foreign in it."""
        async with self._service.reads() as session:
            judgement = await judge(session, observed)
        if judgement.foreign or observed.unreadable:
            await self._found(observed, judgement)
        return judgement

    async def _found(self, observed: ObservedWrite, judgement: Judgement) -> None:
        """Keep a finding for each tenant, with nothing of another's; all of them or none."""
        claimed = judgement.claimed.runs
        by_name = group_by_tenant(judgement.foreign, observed.unreadable)
        async with self._service.sessions.begin() as session:
            for organization, told in by_name.items():
                log.error("foreign_write", organization=organization, count=len(told))
                details = {
                    "updates": told[:MOST_TOLD],
                    "count": len(told),
                    "metadata": observed.metadata,
                    "zed_token": observed.zed_token,
                }
                if claimed:
                    details |= {"claimed": claimed, "why": NOT_OURS}
                await record(session, FindingKind.FOREIGN_WRITE, organization, details)

    async def _keep_finding(self, organization: str, details: dict[str, Any]) -> None:
        async with self._service.reads() as session:
            await record(session, FindingKind.FOREIGN_WRITE, organization, details)

    async def _keep(self, observed: ObservedWrite, judgement: Judgement) -> None:
        """Keep how far it was read; a write's place at once, an idle one's now and then.

        What a write means for the ledgers and the runs is kept in the same statement: each is judged by
        everything before it and by nothing after it, also where the worker ends in between.
        """
        now = asyncio.get_running_loop().time()
        if not observed.updates and now - self._kept_at < KEEP_SECONDS:
            return
        self._kept_at = now
        kept = {
            "zed_token": observed.zed_token,
            "organizations": list(judgement.arrived),
            "positions": list(judgement.arrived.values()),
            "filling": judgement.filling,
            "settled": judgement.settled,
            "rebuilt": sorted(judgement.rebuilt),
        }
        async with self._service.reads() as session:
            await session.execute(KEEP, kept)
            if not observed.updates:  # everything that was written before has been seen
                await runs.settle_runs(session)

    async def _forget(self) -> None:
        """Begin at the present: what lies between is what a comparison finds."""
        async with self._service.reads() as session:
            await session.execute(text("UPDATE watch_cursor SET zed_token = ''"))
