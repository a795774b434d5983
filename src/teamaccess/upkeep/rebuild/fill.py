"""Import the relationships of emptied organizations into SpiceDB, and their markers last."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import or_, select

from teamaccess.changes import Change
from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.delivery.progress import LedgerProgress
from teamaccess.delivery.writer import MARKER_LIFETIME, head_marker, position_marker, run_metadata
from teamaccess.engine import MAX_IMPORT, Engine
from teamaccess.relationships import Relationship, Touch
from teamaccess.storage import (
    DONE,
    LedgerApplication,
    LedgerEntry,
    RelationshipSource,
    RunKind,
)
from teamaccess.upkeep.reconciliation.rows import PAGE, expected_relationships
from teamaccess.upkeep.reconciliation.scan import OnProgress

WRITE_SECONDS = 30.0


class FillResult(NamedTuple):
    """The number of imported relationships, and the ZedToken of the last write; None without a write."""

    relationships: int
    zed_token: str | None


async def import_relationships(
    engine: Engine,
    change: Change,
    targets: Iterable[LedgerProgress],
    runs: Mapping[str, int],
    on_progress: OnProgress,
) -> FillResult:
    """Import the relationships, then write the newest positions. Until then, changes are refused.

    `targets` are the organizations with their progress, and `runs` the ids of their recorded runs.
    `on_progress` gets the size of each batch.

    Raises AlreadyThere if a late write arrived after the organizations were emptied. It may also have
    added relationships that the import does not collide with. A late write of the newest position adds
    nothing that the import does not add.
    """
    with_entries = [progress for progress in targets if progress.position > 0]
    if not with_entries:
        return FillResult(0, None)
    imported = 0
    async for batch in _batches(change, with_entries):
        await engine.import_relationships(batch)
        imported += len(batch)
        on_progress(len(batch))
    newest = [
        (progress.organization, progress.position, progress.hash) for progress in with_entries
    ]
    token = await engine.write(
        [
            Touch(each)
            for at in newest
            for each in (position_marker(*at, change.now), head_marker(*at))
        ],
        metadata=run_metadata(RunKind.REBUILD, runs, change.attribution.request_id),
        seconds=WRITE_SECONDS,
    )
    return FillResult(imported + 2 * len(newest), token)


async def _batches(
    change: Change, targets: Sequence[LedgerProgress]
) -> AsyncIterator[list[Relationship]]:
    """Yield batches of the size of one import. Small organizations share a batch."""
    batch: list[Relationship] = []
    for progress in targets:
        async for relationship in _relationships(change, progress):
            batch.append(relationship)
            if len(batch) == MAX_IMPORT:
                yield batch
                batch = []
    if batch:
        yield batch


async def _relationships(change: Change, progress: LedgerProgress) -> AsyncIterator[Relationship]:
    """Yield what SpiceDB should hold for an organization except its newest position, the markers last."""
    for source in RelationshipSource.tables().values():
        async for page in expected_relationships(change.session, source, progress.organization):
            for relationship in page:
                if not relationship.expired(change.now):
                    yield relationship
    async for marker in _markers(change, progress):
        yield marker


async def _markers(change: Change, progress: LedgerProgress) -> AsyncIterator[Relationship]:
    """Yield the markers of the positions that a late write may still deliver, except the newest."""
    rows = await change.session.stream(
        select(LedgerEntry.position, LedgerEntry.hash)
        .join(LedgerApplication, SAME_POSITION)
        .where(
            LedgerEntry.organization_id == progress.organization,
            LedgerEntry.position < progress.position,
            or_(
                LedgerEntry.decided_at > change.now - MARKER_LIFETIME,
                LedgerApplication.status.not_in(DONE),
            ),
        )
        .order_by(LedgerEntry.position),
        execution_options={"yield_per": PAGE},
    )
    async for row in rows:
        yield position_marker(progress.organization, row.position, row.hash, change.now)
