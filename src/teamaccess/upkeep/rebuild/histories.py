"""Finds the organizations whose history in SpiceDB is not the history in their ledger."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.progress import LedgerProgress
from teamaccess.delivery.writer import HEAD
from teamaccess.engine import Engine, ObjectFilter, Question
from teamaccess.ledger import Sessions
from teamaccess.relationships import ledger_position, organization
from teamaccess.storage import LedgerEntry, LedgerHead, OrganizationId
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION

BATCH = 50
BIGINT_DIGITS = 19
"""Every number with fewer digits fits PostgreSQL's bigint."""


async def organization_batches(sessions: Sessions) -> AsyncIterator[list[OrganizationId]]:
    """Yield the ids of all organizations in batches, including ended ones."""
    last: OrganizationId | None = None
    while True:
        ids = select(LedgerHead.organization_id).order_by(LedgerHead.organization_id).limit(BATCH)
        async with sessions() as session:
            following = ids if last is None else ids.where(LedgerHead.organization_id > last)
            batch = list(await session.scalars(following))
        if not batch:
            return
        yield batch
        last = batch[-1]


async def with_unconfirmed_head(
    engine: Engine, candidates: Sequence[LedgerProgress]
) -> list[LedgerProgress]:
    """Return the organizations whose newest position SpiceDB refused or does not confirm as the head."""
    newest = [
        Question(
            organization(each.organization), HEAD, ledger_position(each.position, each.hash.hex())
        )
        for each in candidates
    ]
    answers = await engine.answers(newest)
    return [
        progress
        for progress, answer in zip(candidates, answers, strict=True)
        if not answer or progress.refusal is not None
    ]


async def needs_rebuild(session: AsyncSession, engine: Engine, progress: LedgerProgress) -> bool:
    """Return whether SpiceDB has another history, or refused a position for good.

    Positions that are still pending are not a reason to rebuild.
    """
    return progress.refusal is not None or await has_other_history(session, engine, progress)


async def has_other_history(
    session: AsyncSession, engine: Engine, progress: LedgerProgress
) -> bool:
    """Return whether SpiceDB's head is not in the ledger, or is older than a confirmed position."""
    heads = await _heads(engine, progress.organization)
    if not heads:
        return progress.confirmed > 0
    rows = await session.execute(
        select(LedgerEntry.position, LedgerEntry.hash).where(
            LedgerEntry.organization_id == progress.organization,
            LedgerEntry.position.in_(_positions(heads)),
            LedgerEntry.position >= progress.confirmed,
        )
    )
    return not heads & {ledger_position(row.position, row.hash.hex()).id for row in rows}


def _positions(ids: set[str]) -> list[int]:
    """Return the positions in head ids. An id that somebody else wrote may contain none."""
    numbers = (id.partition("-")[0] for id in ids)
    return [int(number) for number in numbers if number.isdigit() and len(number) < BIGINT_DIGITS]


async def _heads(engine: Engine, id: OrganizationId) -> set[str]:
    """Return the ids of the heads that SpiceDB holds. We never write more than one."""
    return {
        held.text.rpartition(":")[2]
        async for page in engine.export(ObjectFilter(ORGANIZATION, id=id, relation=HEAD))
        for held in page
    }
