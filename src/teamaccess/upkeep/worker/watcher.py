"""The watcher compares every write that SpiceDB reports with the ledgers, within seconds."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.postgres.outages import is_outage
from teamaccess.common.process import should_continue
from teamaccess.delivery.provenance import runs
from teamaccess.delivery.provenance.writes import WriteClaim, group_by_tenant
from teamaccess.delivery.relay import OUTAGES
from teamaccess.delivery.stopped import retry_after_schema
from teamaccess.engine import (
    EngineRefused,
    EngineUnavailable,
    ObservedWrite,
    TooLarge,
    Undecodable,
)
from teamaccess.ledger import database_time
from teamaccess.service import Service
from teamaccess.storage import FindingKind, WatchCursor
from teamaccess.storage.advisory_locks import DeploymentLock, try_lock_for_session
from teamaccess.upkeep.findings import record_finding
from teamaccess.upkeep.worker.judgement import Judgement, judge_write
from teamaccess.upkeep.worker.schema_watch import SchemaWatch

log = structlog.get_logger()

SAVE_WRITE = text("""
WITH watched AS (
  INSERT INTO watched_writes (zed_token) VALUES (:zed_token) ON CONFLICT DO NOTHING
), seen AS (
  INSERT INTO watched_ledgers (organization_id, position)
  SELECT * FROM unnest(CAST(:organizations AS text[]), CAST(:positions AS bigint[]))
  ON CONFLICT (organization_id) DO UPDATE SET position = excluded.position
), filling AS (
  UPDATE engine_runs SET phase = 'filling' WHERE id = ANY (CAST(:filling AS bigint[]))
), settled AS (
  UPDATE engine_runs
  SET over_at = coalesce(over_at, clock_timestamp()), settled_at = clock_timestamp()
  WHERE id = ANY (CAST(:settled AS bigint[])) AND settled_at IS NULL
), rebuilt AS (
  INSERT INTO reconciliations (organization_id, checked_at, differences, asked_at)
  SELECT id, clock_timestamp(), 0, clock_timestamp()
  FROM organizations WHERE id = ANY (CAST(:rebuilt AS text[]))
  ON CONFLICT (organization_id) DO UPDATE SET asked_at = clock_timestamp()
)
INSERT INTO watch_cursor (id, zed_token, saved_at) VALUES (1, :zed_token, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET saved_at = excluded.saved_at,
  zed_token = coalesce(nullif(watch_cursor.zed_token, ''), excluded.zed_token)
""")
"""Saves what a write means. The cursor stays at the last checkpoint."""
SAVE_CHECKPOINT = text("""
INSERT INTO watch_cursor (id, zed_token, saved_at) VALUES (1, :zed_token, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET zed_token = excluded.zed_token, saved_at = excluded.saved_at
""")
FORGET = text("""
DELETE FROM watched_writes WHERE checked_at < clock_timestamp() - make_interval(secs => :seconds)
""")
FORGET_SECONDS = 3600.0
"""How long a checked write is remembered: longer than any write to SpiceDB runs beside others."""
FORGET_EVERY_SECONDS = 60.0
UNWATCHED = text("""
SELECT CASE WHEN saved_at BETWEEN '0001-01-02T00:00:00Z' AND '9999-12-30T00:00:00Z'
       THEN saved_at END AS since, clock_timestamp() AS now
FROM watch_cursor
""")
CHECKED = text("SELECT EXISTS (SELECT FROM watched_writes WHERE zed_token = :zed_token)")
DISCARD_CURSOR = text("UPDATE watch_cursor SET zed_token = '', saved_at = clock_timestamp()")
"""The next stream starts at the present, and comparisons cover the gap."""
INCOMPLETE = "it marks a position as delivered without the updates of the position"
NOT_OURS = "no run of ours may write this"
UNREADABLE_METADATA = "its metadata is unreadable, and no write of ours has such metadata"
OMITTED_METADATA = "its metadata is left out, because it is too long"
NOT_JUDGED = "it could not be judged. The log of the worker has the reason (write_not_judged)"
ONE_WATCHES = try_lock_for_session(DeploymentLock.WATCH)
"""Taken for the life of a connection, so that only one of all workers watches.

Everything that the watcher reads and saves goes through this connection. A watcher that has lost it can
neither judge a write that its successor has judged nor save anything after its successor began.
"""
PAUSE_SECONDS = 2.0
SAVE_SECONDS = 5.0
"""How often the cursor is saved while nothing is written."""
LATE_SECONDS = 10.0
"""How long after a gap the next stream may begin as a part of it."""
ANY_ORGANIZATION = "*"
"""The subject of a finding about a write that is too large to receive."""
MOST_NAMED = 100
"""The most updates that a finding names."""
LONGEST_METADATA = 10_000
"""Characters of metadata that a finding keeps."""
STALLED_SECONDS = 10.0
"""How long the watch may make no progress while SpiceDB answers other questions."""
STALLED = "SpiceDB answers, and its watch does not continue after this token"
FAILED = "the watch failed. The log of the worker has the reason (watch_not_understood)"


class Watcher:
    """Follows SpiceDB's Watch from the saved cursor, and records every write that is not ours."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._schemas = SchemaWatch(service)
        self._saved_at = 0.0
        self._forgot_at = 0.0
        self._has_written = False
        """Whether a write was saved since the last checkpoint."""
        self._progressed = False
        """Whether the stream brought a checkpoint, or a write that was not checked before."""
        self._stalled_at: float | None = None
        """When the watch first failed, by the clock of the event loop; None if it makes progress, or if
        SpiceDB does not answer at all."""

    async def run(self) -> None:
        """Run until cancelled. Only one worker watches at a time."""
        while should_continue():
            try:
                async with self._lock() as session:
                    while session and should_continue():
                        await self._watch(session)
            except OUTAGES as cause:
                log.warning("watch_failed", cause=repr(cause))
            await asyncio.sleep(PAUSE_SECONDS)

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[AsyncSession | None]:
        """Yield the session that holds the lock, None if another worker watches."""
        async with self._service.reads() as session:
            locked = bool(await session.scalar(ONE_WATCHES))
            try:
                yield session if locked else None
            finally:
                if locked:
                    await session.invalidate()  # closes the connection, which releases the lock

    async def _watch(self, session: AsyncSession) -> None:
        """Follow one stream to its end. SpiceDB ends each stream after half a minute.

        SECURITY: a write whose message always fails would hide all later ones. So the watch continues at
        the present after each failure that is not an outage, and the writes in between are a finding.
        """
        since = await session.scalar(select(WatchCursor.zed_token))
        try:
            await self._follow(session, since)
        except EngineRefused as refused:
            await self._continue_from_now(session, since, str(refused))
        except (TooLarge, Undecodable) as unreadable:
            await self._continue_from_now(session, since, str(unreadable))
            details = {"why": str(unreadable), "after": since}
            await record_finding(session, FindingKind.FOREIGN_WRITE, ANY_ORGANIZATION, details)
        except EngineUnavailable as unavailable:
            if self._progressed:
                return
            if since and await self._is_stalled():
                await self._continue_from_now(session, since, f"{STALLED}: {unavailable}")
            else:
                raise
        except Exception as error:
            if _is_outage(error):
                raise
            log.exception("watch_not_understood", after=since)
            await self._continue_from_now(session, since, FAILED)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _follow(self, session: AsyncSession, since: str | None) -> None:
        """Judge and save the writes of one stream, which begins after the cursor `since`."""
        self._progressed = False
        discarded = since == ""
        if not since:  # it starts at the present and will not see how finished runs ended
            await runs.start_from_now(session)
        received = False
        async for observed in self._service.engine.watch(since):
            if not received:
                await self._schemas.check_current()  # the stream reports later schemas
                if discarded:
                    await self._record_late_start(session)
            received = True
            await self._schemas.check_if_due()
            if observed.schema_updated:
                await self._schemas.check_written(observed.zed_token)
                await self._retry_stopped()
            if observed.is_checkpoint:
                await self._save_checkpoint(session, observed)
                self._note_progress()
            elif not await session.scalar(CHECKED, {"zed_token": observed.zed_token}):
                judgement = await self._judge_or_report(session, observed)
                await self._save_write(session, observed, judgement)
                self._note_progress()

    def _note_progress(self) -> None:
        self._progressed, self._stalled_at = True, None

    async def _is_stalled(self) -> bool:
        """Return whether the watch keeps failing while SpiceDB answers other questions."""
        now = asyncio.get_running_loop().time()
        try:
            await self._service.engine.has_schema()
        except EngineUnavailable:
            self._stalled_at = None
            return False
        if self._stalled_at is None:
            self._stalled_at = now
        return now - self._stalled_at > STALLED_SECONDS

    async def _continue_from_now(self, session: AsyncSession, since: str | None, why: str) -> None:
        """Record that the writes after the cursor are unknown. The next stream starts at the present."""
        log.error("watch_restarted", cause=why)
        await self._record_gap(session, since, why)
        await session.execute(DISCARD_CURSOR)
        self._stalled_at = None

    async def _retry_stopped(self) -> None:
        """Retry the organizations that a missing schema stopped: this schema may have what they need."""
        async with self._service.reads() as session:
            if retried := await retry_after_schema(session):
                log.info("stopped_organizations_retried", organizations=retried)

    async def _record_gap(self, session: AsyncSession, since: str | None, why: str) -> None:
        """Record that nobody saw the writes since the cursor: neither relationships nor schemas.

        SpiceDB may have discarded those revisions, or it was restored from a backup.
        """
        await self._schemas.record_gap(since, why)
        times = (await session.execute(UNWATCHED)).one_or_none()
        details = {
            "from": times.since.isoformat() if times and times.since else None,
            "to": (times.now if times else await database_time(session)).isoformat(),
            "why": why,
            "after": since,
        }
        log.error("unwatched", **details)
        await record_finding(session, FindingKind.UNWATCHED, ANY_ORGANIZATION, details)

    async def _record_late_start(self, session: AsyncSession) -> None:
        """Record that the watch began again some time after the end of the recorded gap.

        The workers may have been stopped in between, or SpiceDB did not answer.
        """
        times = (await session.execute(UNWATCHED)).one_or_none()
        late = times is not None and times.since is not None and times.now - times.since
        if late and late.total_seconds() > LATE_SECONDS:
            await self._record_gap(session, None, "the watch had ended, and began again later")

    async def _judge_or_report(self, session: AsyncSession, observed: ObservedWrite) -> Judgement:
        """Judge a write. One that cannot be judged is a finding.

        SECURITY: a write that ended the watch each time would hide every later one.
        """
        try:
            return await self._judge(session, observed)
        except Exception as error:
            if _is_outage(error):
                raise
            log.exception("write_not_judged", zed_token=observed.zed_token)
            details = {"why": NOT_JUDGED, "zed_token": observed.zed_token}
            await record_finding(session, FindingKind.FOREIGN_WRITE, ANY_ORGANIZATION, details)
            return Judgement(WriteClaim())

    async def _judge(self, session: AsyncSession, observed: ObservedWrite) -> Judgement:
        """Judge a write by today's rows, and record findings about its foreign updates."""
        session.expunge_all()
        judgement = await judge_write(session, self._service.engine, observed)
        if judgement.foreign or observed.unreadable:
            await self._record_foreign(observed, judgement)
        return judgement

    async def _record_foreign(self, observed: ObservedWrite, judgement: Judgement) -> None:
        """Record one finding for each tenant, in one transaction, without updates of other tenants."""
        claimed = judgement.claimed.runs
        by_name = group_by_tenant(judgement.foreign, observed.unreadable)
        async with self._service.sessions.begin() as session:
            for organization, updates in by_name.items():
                log.error("foreign_write_found", organization=organization, count=len(updates))
                details = {
                    "updates": updates[:MOST_NAMED],
                    "count": len(updates),
                    "metadata": observed.metadata,
                    "zed_token": observed.zed_token,
                }
                if observed.metadata_unreadable:
                    details["why"] = UNREADABLE_METADATA
                elif len(json.dumps(observed.metadata)) > LONGEST_METADATA:
                    details |= {"metadata": {}, "why": OMITTED_METADATA}
                elif organization in judgement.incomplete:
                    details["why"] = INCOMPLETE
                elif claimed:
                    details |= {"claimed": claimed, "why": NOT_OURS}
                await record_finding(session, FindingKind.FOREIGN_WRITE, organization, details)

    async def _save_write(
        self, session: AsyncSession, observed: ObservedWrite, judgement: Judgement
    ) -> None:
        """Save at once what a write means for the ledgers and the runs, and that it was checked.

        One statement does it. So each write is judged by all writes before it and by none after it, even
        if the worker stops in between.
        """
        parameters = {
            "zed_token": observed.zed_token,
            "organizations": list(judgement.arrived),
            "positions": list(judgement.arrived.values()),
            "filling": judgement.filling,
            "settled": judgement.settled,
            "rebuilt": sorted(judgement.rebuilt),
        }
        await session.execute(SAVE_WRITE, parameters)
        self._has_written = True

    async def _save_checkpoint(self, session: AsyncSession, observed: ObservedWrite) -> None:
        """Move the cursor: at once after writes, otherwise every SAVE_SECONDS."""
        now = asyncio.get_running_loop().time()
        if not self._has_written and now - self._saved_at < SAVE_SECONDS:
            return
        self._has_written, self._saved_at = False, now
        await session.execute(SAVE_CHECKPOINT, {"zed_token": observed.zed_token})
        await runs.settle_runs(session)  # the watcher has seen every earlier write
        if now - self._forgot_at > FORGET_EVERY_SECONDS:
            self._forgot_at = now
            await session.execute(FORGET, {"seconds": FORGET_SECONDS})


def _is_outage(error: Exception) -> bool:
    """Return whether the error may pass by itself, and does not come from what the watcher read."""
    return isinstance(error, OUTAGES) and not (
        isinstance(error, DBAPIError) and not is_outage(error)
    )
