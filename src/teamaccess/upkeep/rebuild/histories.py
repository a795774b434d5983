"""Which organizations have another history in SpiceDB than in their ledgers."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.progress import LedgerProgress
from teamaccess.engine import Engine, ObjectFilter, Question
from teamaccess.ledger import Sessions
from teamaccess.ledger.entry import HEAD
from teamaccess.relationships import ledger_position, organization
from teamaccess.storage import LedgerEntry, LedgerHead, OrganizationId
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION

BATCH = 50
LONGEST_NUMBER = 19
"""PostgreSQL's bigint has all numbers that are shorter."""


async def batches(sessions: Sessions) -> AsyncIterator[list[OrganizationId]]:
    """Yield the ids of all organizations, ended ones too, in batches."""
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


async def doubtful(engine: Engine, places: Sequence[LedgerProgress]) -> list[LedgerProgress]:
    """Return those of whose newest position SpiceDB does not say that it is the newest."""
    newest = [
        Question(
            organization(each.organization), HEAD, ledger_position(each.position, each.hash.hex())
        )
        for each in places
    ]
    answers = await engine.answers(newest)
    return [
        place
        for place, answer in zip(places, answers, strict=True)
        if not answer or place.refusal is not None
    ]


async def differs(session: AsyncSession, engine: Engine, place: LedgerProgress) -> bool:
    """Return whether what SpiceDB has is no beginning of the ledger, or one that it had gone beyond.

    Positions that only have not arrived yet make no difference, unless SpiceDB refused one for good.
    """
    return place.refusal is not None or await is_another(session, engine, place)


async def is_another(session: AsyncSession, engine: Engine, place: LedgerProgress) -> bool:
    """Return the same for what SpiceDB has, whatever it has refused."""
    held = await _heads(engine, place.organization)
    if not held:
        return place.confirmed > 0
    rows = await session.execute(
        select(LedgerEntry.position, LedgerEntry.hash).where(
            LedgerEntry.organization_id == place.organization,
            LedgerEntry.position.in_(_positions(held)),
            LedgerEntry.position >= place.confirmed,
        )
    )
    return not held & {ledger_position(row.position, row.hash.hex()).id for row in rows}


def _positions(ids: set[str]) -> list[int]:
    """Return the numbers in them; what somebody else wrote there may have none."""
    numbers = (id.partition("-")[0] for id in ids)
    return [int(each) for each in numbers if each.isdigit() and len(each) < LONGEST_NUMBER]


async def _heads(engine: Engine, id: OrganizationId) -> set[str]:
    """Return which positions SpiceDB calls the newest; there is never more than one of ours."""
    return {
        held.text.rpartition(":")[2]
        async for page in engine.export(ObjectFilter(ORGANIZATION, id=id, relation=HEAD))
        for held in page
    }
