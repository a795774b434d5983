"""Compares every schema that is written to SpiceDB with those that `schema apply` recorded.

SpiceDB's Watch reports that a schema was written. The schema is then read at exactly that revision, so a
schema that was replaced a moment later is found too.
"""

import asyncio
import time

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.engine import (
    FULLY_CONSISTENT,
    Consistency,
    EngineUnavailable,
    exact_snapshot,
)
from teamaccess.service import Service
from teamaccess.storage import Finding, FindingKind, SchemaVersion
from teamaccess.storage.advisory_locks import DeploymentLock, try_share
from teamaccess.upkeep.findings import record_finding

log = structlog.get_logger()

ANYWHERE = "*"
"""A schema concerns all organizations."""
COMPARED_WITHIN_SECONDS = 10.0
"""How long a comparison may take. Our own schemas take a tenth of a second."""
AWAY = ("UNAVAILABLE", "UNAUTHENTICATED", "CANCELLED")
"""gRPC codes with which SpiceDB or the network says that it cannot answer now."""
CHECK_SECONDS = 30.0
"""How often the current schema is compared, whether or not Watch reports a write."""
LONGEST_APPLY_SECONDS = 60.0
"""How long `schema apply` may take to record the schema that it wrote to SpiceDB."""
PAUSE_SECONDS = 0.1
NOBODY_APPLIES = try_share(DeploymentLock.SCHEMA)
NEWEST = select(SchemaVersion.schema).order_by(SchemaVersion.applied_at.desc()).limit(1)
OPEN = select(Finding.id).where(
    Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None)
)
LAST = select(func.coalesce(func.max(Finding.id), 0)).where(
    Finding.kind == FindingKind.FOREIGN_SCHEMA
)


class SchemaWatch:
    """Records a finding for each schema that was written to SpiceDB and not recorded."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._checked_at = -CHECK_SECONDS

    async def check_written(self, zed_token: str) -> None:
        """Check the schema that was written at this token."""
        async with self._service.reads() as session:
            await _wait_for_record(session)
            ours = select(SchemaVersion.applied_at).where(SchemaVersion.zed_token == zed_token)
            if await session.scalar(ours) is not None:
                return
        await self._compare(exact_snapshot(zed_token), {"zed_token": zed_token})

    async def check_if_due(self) -> None:
        """Check the current schema, unless that was done less than CHECK_SECONDS ago."""
        if time.monotonic() - self._checked_at > CHECK_SECONDS:
            await self.check_current()

    async def record_gap(self, after: str | None, why: str) -> None:
        """Record that schemas written since a token are unknown. One of them may be foreign."""
        details = {"after": after, "differences": [f"unknown: {why}"]}
        log.error("foreign_schema_found", **details)
        async with self._service.reads() as session:
            await record_finding(session, FindingKind.FOREIGN_SCHEMA, ANYWHERE, details)

    async def check_current(self) -> None:
        """Check the current schema, because a schema may have been written while nobody watched."""
        self._checked_at = time.monotonic()
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
            # SECURITY: a schema that cannot be compared counts as foreign. SpiceDB may have discarded
            # that revision, or the schema may be so large that the comparison never ends.
            differences = [f"unknown: {cause}"]
        if not differences:
            return
        differences = sorted(set(differences))
        log.error("foreign_schema_found", differences=differences)
        async with self._service.reads() as session:
            details = {**details, "differences": differences}
            await record_finding(session, FindingKind.FOREIGN_SCHEMA, ANYWHERE, details)


async def _wait_for_record(session: AsyncSession) -> None:
    """Wait until no `schema apply` is between writing a schema to SpiceDB and recording it."""
    end = asyncio.get_running_loop().time() + LONGEST_APPLY_SECONDS
    while not await session.scalar(NOBODY_APPLIES):
        if asyncio.get_running_loop().time() > end:
            return
        await asyncio.sleep(PAUSE_SECONDS)
