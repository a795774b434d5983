"""Say what will be written to SpiceDB before it is, and read it back when it was seen there.

SECURITY: a run is committed in our database before its first write. Watch shows everybody with SpiceDB's
key how our writes look, so nothing in a write proves whose it is.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.storage import EngineRun, RunKind, RunPhase, WatchedLedger

UNSETTLED_SECONDS = 5.0
"""How long a run that is over still explains writes: they are on their way to the watcher."""
BEGIN = text("""
WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
INSERT INTO engine_runs (kind, organization_id, position, request_id, transaction, phase)
SELECT :kind, organization_id, position, :request_id, :transaction, :phase
FROM durable, unnest(CAST(:organizations AS text[]), CAST(:positions AS bigint[]))
  AS place (organization_id, position)
RETURNING organization_id, id
""")
"""Whatever its connection, it waits for the disk: a run that is forgotten would be a stranger's write."""
SETTLE = text("""
UPDATE engine_runs SET
  over_at = coalesce(over_at, clock_timestamp()),
  settled_at = CASE WHEN over_at < clock_timestamp() - make_interval(secs => :seconds)
               THEN clock_timestamp() END
WHERE settled_at IS NULL AND (ends_at < clock_timestamp()
  OR pg_visible_in_snapshot(transaction::xid8, pg_current_snapshot()))
""")
"""A transaction is visible in a snapshot if it had come to its end by then, whatever the end was."""
SETTLE_AT_ONCE = text("""
UPDATE engine_runs SET over_at = coalesce(over_at, clock_timestamp()), settled_at = clock_timestamp()
WHERE settled_at IS NULL AND (ends_at < clock_timestamp()
  OR pg_visible_in_snapshot(transaction::xid8, pg_current_snapshot()))
""")
BEGIN_AT_THE_PRESENT_SECONDS = 30.0
"""SpiceDB may begin a stream a little in the past: what arrived so lately may be told again."""
LEDGERS_AT_THE_PRESENT = text("""
INSERT INTO watched_ledgers (organization_id, position)
SELECT organization_id, max(position) FROM ledger_applications
WHERE status IN ('applied', 'skipped')
  AND enforced_at < clock_timestamp() - make_interval(secs => :seconds)
GROUP BY organization_id
ON CONFLICT (organization_id) DO UPDATE SET position = excluded.position
""")


async def begin(
    connection: AsyncSession | AsyncConnection,
    kind: RunKind,
    places: Iterable[tuple[str, int]],
    *,
    request_id: str,
    transaction: str | None = None,
    phase: RunPhase = RunPhase.EMPTYING,
) -> dict[str, int]:
    """Keep what will be written where, at which position; return the number of each run.

    The caller commits before anything is written.
    """
    organizations, positions = zip(*places, strict=True)
    told = {
        "kind": kind.value,
        "request_id": request_id,
        "transaction": transaction,
        "phase": phase.value,
        "organizations": list(organizations),
        "positions": list(positions),
    }
    rows = await connection.execute(BEGIN, told)
    return {str(row.organization_id): int(row.id) for row in rows}


async def unsettled(session: AsyncSession, organizations: Collection[str]) -> Sequence[EngineRun]:
    """Return the runs that may have written something there, in the order of their beginning."""
    mine = EngineRun.organization_id.in_(organizations)
    rows = await session.scalars(
        select(EngineRun).where(mine, EngineRun.settled_at.is_(None)).order_by(EngineRun.id)
    )
    return rows.all()


async def watched(session: AsyncSession, organizations: Collection[str]) -> dict[str, int]:
    """Return how far each ledger was seen to arrive; one that was never seen is left out."""
    mine = WatchedLedger.organization_id.in_(organizations)
    rows = await session.execute(
        select(WatchedLedger.organization_id, WatchedLedger.position).where(mine)
    )
    return {str(row.organization_id): row.position for row in rows}


async def settle_runs(session: AsyncSession) -> None:
    """End the runs whose transaction ended long enough ago; the watcher has seen what they wrote."""
    await session.execute(SETTLE, {"seconds": UNSETTLED_SECONDS})


async def begin_at_the_present(session: AsyncSession) -> None:
    """Prepare for a stream that tells nothing of what was written before now."""
    await session.execute(SETTLE_AT_ONCE)
    await session.execute(LEDGERS_AT_THE_PRESENT, {"seconds": BEGIN_AT_THE_PRESENT_SECONDS})
