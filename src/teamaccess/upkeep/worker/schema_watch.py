"""Compare every schema that SpiceDB is given with what `schema apply` recorded.

SpiceDB's Watch tells that a schema was written, whoever wrote it and however briefly it stood. The schema
is then read as of that very moment, so one that was replaced a moment later is found all the same.
"""

import asyncio
import time

import structlog
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.directory.schemas.apply import APPLYING
from teamaccess.engine import (
    FULLY_CONSISTENT,
    Consistency,
    EngineUnavailable,
    at_exact_snapshot,
)
from teamaccess.service import Service
from teamaccess.storage import Finding, FindingKind, SchemaVersion
from teamaccess.upkeep.findings import record

log = structlog.get_logger()

ANYWHERE = "*"
"""A schema is every organization's."""
COMPARED_WITHIN_SECONDS = 10.0
"""Ours take a tenth of a second."""
AWAY = ("UNAVAILABLE", "UNAUTHENTICATED", "CANCELLED")
"""How SpiceDB, or the way to it, says that it cannot answer anything now."""
LOOK_SECONDS = 30.0
"""How often the schema is compared that stands, whatever the stream tells."""
LONGEST_APPLY_SECONDS = 60.0
"""How long `schema apply` may take to record what it has given to SpiceDB."""
PAUSE_SECONDS = 0.1
NOBODY_APPLIES = text(f"SELECT pg_try_advisory_xact_lock_shared({APPLYING})")
NEWEST = select(SchemaVersion.schema).order_by(SchemaVersion.applied_at.desc()).limit(1)
OPEN = select(Finding.id).where(
    Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None)
)
LAST = select(func.coalesce(func.max(Finding.id), 0)).where(
    Finding.kind == FindingKind.FOREIGN_SCHEMA
)


class SchemaWatch:
    """Records a finding for each schema that SpiceDB was given and nobody recorded."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._looked_at = -LOOK_SECONDS

    async def written(self, zed_token: str) -> None:
        """Judge the schema that somebody wrote at this token."""
        async with self._service.reads() as session:
            await _wait_for_record(session)
            ours = select(SchemaVersion.applied_at).where(SchemaVersion.zed_token == zed_token)
            if await session.scalar(ours) is not None:
                return
        await self._compare(at_exact_snapshot(zed_token), {"zed_token": zed_token})

    async def look_seldom(self) -> None:
        """Judge the schema that stands now, unless that was done a moment ago."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            await self.look()

    async def gap(self, after: str | None, why: str) -> None:
        """Keep that nobody knows which schemas stood since a token: a foreign one may have."""
        details = {"after": after, "differences": [f"unknown: {why}"]}
        log.error("foreign_schema", **details)
        async with self._service.reads() as session:
            await record(session, FindingKind.FOREIGN_SCHEMA, ANYWHERE, details)

    async def look(self) -> None:
        """Judge the schema that stands now, for what was written while nobody watched."""
        self._looked_at = time.monotonic()
        async with self._service.reads() as session:
            if await session.scalar(OPEN) is not None:
                return
            await _wait_for_record(session)
            last = await session.scalar(LAST)
        await self._compare(FULLY_CONSISTENT, {"after": last})

    async def _compare(self, at: Consistency, details: dict[str, object]) -> None:
        async with self._service.reads() as session:
            recorded = await session.scalar(NEWEST)
        if recorded is None:
            return  # before the first `schema apply` there is nothing to compare with
        try:
            differences = await self._service.engine.schema_differences(
                recorded, at, COMPARED_WITHIN_SECONDS
            )
        except EngineUnavailable as unknown:
            cause = str(unknown.facts["cause"])
            if cause.startswith(AWAY):
                raise
            # SECURITY: what cannot be compared is foreign. SpiceDB may have forgotten that moment, and a
            # schema may be so large that comparing it never ends: that must not blind the watch.
            differences = [f"unknown: {cause}"]
        if not differences:
            return
        differences = sorted(set(differences))
        log.error("foreign_schema", differences=differences)
        async with self._service.reads() as session:
            found = {**details, "differences": differences}
            await record(session, FindingKind.FOREIGN_SCHEMA, ANYWHERE, found)


async def _wait_for_record(session: AsyncSession) -> None:
    """Wait until no `schema apply` is between giving a schema to SpiceDB and recording it."""
    end = asyncio.get_running_loop().time() + LONGEST_APPLY_SECONDS
    while not await session.scalar(NOBODY_APPLIES):
        if asyncio.get_running_loop().time() > end:
            return
        await asyncio.sleep(PAUSE_SECONDS)
