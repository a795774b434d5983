"""Runs: records of writes outside the normal order, made before the writes.

The watcher reads them when SpiceDB's Watch reports the writes.

SECURITY: a run is committed in our database before its first write. Everybody with SpiceDB's key can read
our writes in Watch and imitate them, so the content of a write does not prove its origin.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.storage import EngineRun, RunKind, RunPhase, WatchedLedger

UNSETTLED_SECONDS = 5.0
"""How long a finished run still explains writes, because the watcher may not have seen them yet."""
BEGIN = text("""
WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
INSERT INTO engine_runs (kind, organization_id, position, request_id, transaction, phase)
SELECT :kind, organization_id, position, :request_id, :transaction, :phase
FROM durable, unnest(CAST(:organizations AS text[]), CAST(:positions AS bigint[]))
  AS place (organization_id, position)
RETURNING organization_id, id
""")
"""It waits for the disk on every connection. If a crash lost a run, its writes would count as foreign."""
SETTLE = text("""
UPDATE engine_runs SET
  over_at = coalesce(over_at, clock_timestamp()),
  settled_at = CASE WHEN over_at < clock_timestamp() - make_interval(secs => :seconds)
               THEN clock_timestamp() END
WHERE settled_at IS NULL AND (ends_at < clock_timestamp()
  OR pg_visible_in_snapshot(transaction::xid8, pg_current_snapshot()))
""")
"""A transaction is visible in a snapshot if it had ended by then, by commit or rollback."""
SETTLE_AT_ONCE = text("""
UPDATE engine_runs SET over_at = coalesce(over_at, clock_timestamp()), settled_at = clock_timestamp()
WHERE settled_at IS NULL AND (ends_at < clock_timestamp()
  OR pg_visible_in_snapshot(transaction::xid8, pg_current_snapshot()))
""")
START_MARGIN_SECONDS = 30.0
"""SpiceDB may begin a stream a little in the past, so Watch may report entries of these last seconds
again."""
WATCH_FROM_NOW = text("""
INSERT INTO watched_ledgers (organization_id, position)
SELECT organization_id, max(position) FROM ledger_applications
WHERE status IN ('applied', 'skipped')
  AND enforced_at < clock_timestamp() - make_interval(secs => :seconds)
GROUP BY organization_id
ON CONFLICT (organization_id) DO UPDATE
SET position = greatest(watched_ledgers.position, excluded.position)
""")
"""A position never goes back. If Watch reports an older one again, `watched_writes` has its token."""


async def begin_runs(
    connection: AsyncSession | AsyncConnection,
    kind: RunKind,
    targets: Iterable[tuple[str, int]],
    *,
    request_id: str,
    transaction: str | None = None,
    phase: RunPhase = RunPhase.EMPTYING,
) -> dict[str, int]:
    """Record a run for each target. Return the numbers of the runs by organization.

    A target is an organization with the ledger position whose state or updates are written.

    The caller must commit before it writes to SpiceDB.
    """
    organizations, positions = zip(*targets, strict=True)
    parameters = {
        "kind": kind.value,
        "request_id": request_id,
        "transaction": transaction,
        "phase": phase.value,
        "organizations": list(organizations),
        "positions": list(positions),
    }
    rows = await connection.execute(BEGIN, parameters)
    return {str(row.organization_id): int(row.id) for row in rows}


async def unsettled_runs(
    session: AsyncSession, organizations: Collection[str]
) -> Sequence[EngineRun]:
    """Return the runs that may explain writes of these organizations, oldest first."""
    rows = await session.scalars(
        select(EngineRun)
        .where(EngineRun.organization_id.in_(organizations), EngineRun.settled_at.is_(None))
        .order_by(EngineRun.id)
    )
    return rows.all()


async def watched_positions(
    session: AsyncSession, organizations: Collection[str]
) -> dict[str, int]:
    """Return the newest position that Watch has reported, by organization."""
    rows = await session.execute(
        select(WatchedLedger.organization_id, WatchedLedger.position).where(
            WatchedLedger.organization_id.in_(organizations)
        )
    )
    return {str(row.organization_id): row.position for row in rows}


async def settle_runs(session: AsyncSession) -> None:
    """Settle the runs whose transaction ended long enough ago that the watcher has seen their writes."""
    await session.execute(SETTLE, {"seconds": UNSETTLED_SECONDS})


async def start_from_now(session: AsyncSession) -> None:
    """Prepare for a Watch that reports no write from before now."""
    await session.execute(SETTLE_AT_ONCE)
    await session.execute(WATCH_FROM_NOW, {"seconds": START_MARGIN_SECONDS})
