"""Bring what the rows of emptied organizations stand for into SpiceDB, the markers last."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import or_, select

from teamaccess.changes import Change
from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.delivery.progress import LedgerProgress
from teamaccess.delivery.writer import run_metadata
from teamaccess.engine import MAX_IMPORT, Engine
from teamaccess.ledger.entry import MARKER_LIFETIME, head_marker, position_marker
from teamaccess.relationships import Relationship, Touch
from teamaccess.storage import (
    DONE,
    LedgerApplication,
    LedgerEntry,
    RelationshipSource,
    RunKind,
)
from teamaccess.upkeep.reconciliation.rows import PAGE, meant
from teamaccess.upkeep.reconciliation.scan import Seen

WRITE_SECONDS = 30.0


class Filled(NamedTuple):
    """How much was brought there, and the ZedToken at which it holds; none where there was nothing."""

    relationships: int
    zed_token: str | None


async def fill(
    engine: Engine,
    change: Change,
    places: Iterable[LedgerProgress],
    runs: Mapping[str, int],
    seen: Seen,
) -> Filled:
    """Import it, and at last write the newest positions: only then anything is decided there again.

    `runs` are what our database says of it, by organization.

    Raises AlreadyThere where somebody's late write has come since they were emptied: it may have brought
    more than it meets. (The newest position, sent late, brings nothing that is not there at last.)
    """
    begun = [place for place in places if place.position > 0]
    if not begun:
        return Filled(0, None)
    imported = 0
    async for batch in _batches(change, begun):
        await engine.import_relationships(batch)
        imported += len(batch)
        seen(len(batch))
    newest = [(place.organization, place.position, place.hash) for place in begun]
    token = await engine.write(
        [
            Touch(each)
            for at in newest
            for each in (position_marker(*at, change.now), head_marker(*at))
        ],
        metadata=run_metadata(RunKind.REBUILD, runs, change.attribution.request_id),
        seconds=WRITE_SECONDS,
    )
    return Filled(imported + 2 * len(newest), token)


async def _batches(
    change: Change, places: Sequence[LedgerProgress]
) -> AsyncIterator[list[Relationship]]:
    """Yield as much at once as one import takes; small organizations travel together."""
    batch: list[Relationship] = []
    for place in places:
        async for relationship in _relationships(change, place):
            batch.append(relationship)
            if len(batch) == MAX_IMPORT:
                yield batch
                batch = []
    if batch:
        yield batch


async def _relationships(change: Change, place: LedgerProgress) -> AsyncIterator[Relationship]:
    """Yield what SpiceDB should hold of an organization but its newest position, the markers last."""
    for source in RelationshipSource.tables().values():
        async for page in meant(change.session, source, place.organization):
            for relationship in page:
                if not relationship.expired(change.now):
                    yield relationship
    async for marker in _markers(change, place):
        yield marker


async def _markers(change: Change, place: LedgerProgress) -> AsyncIterator[Relationship]:
    """Yield the marker of each position that somebody may still try to write, but the newest."""
    rows = await change.session.stream(
        select(LedgerEntry.position, LedgerEntry.hash)
        .join(LedgerApplication, SAME_POSITION)
        .where(
            LedgerEntry.organization_id == place.organization,
            LedgerEntry.position < place.position,
            or_(
                LedgerEntry.decided_at > change.now - MARKER_LIFETIME,
                LedgerApplication.status.not_in(DONE),
            ),
        )
        .order_by(LedgerEntry.position),
        execution_options={"yield_per": PAGE},
    )
    async for row in rows:
        yield position_marker(place.organization, row.position, row.hash, change.now)
