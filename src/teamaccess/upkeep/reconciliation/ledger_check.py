"""Checks that a repair agrees with the ledger."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import Conflict
from teamaccess.relationships import EXPIRATION_PREFIX, ReplayConflict, Update, parse_update, replay
from teamaccess.relationships.relationship import WAS
from teamaccess.storage import LedgerEntry, OrganizationId


class LedgerDisagrees(Conflict):
    """The rows contradict the ledger: somebody changed them in the database, bypassing the triggers."""

    message = (
        "The rows of {organization} contradict its ledger ({conflict}): somebody changed them "
        "in the database. Nothing was repaired; an operator must find out which side is right."
    )


async def refuse_false_claims(
    session: AsyncSession, id: OrganizationId, updates: Iterable[Update]
) -> None:
    """Raise LedgerDisagrees if the replayed ledger contradicts a RESTORE or PURGE."""
    by_identity = {update.relationship.identity: update for update in updates}
    histories: dict[str, list[Update]] = {identity: [] for identity in by_identity}
    entries = await session.stream_scalars(
        select(LedgerEntry.updates)
        .where(LedgerEntry.organization_id == id)
        .order_by(LedgerEntry.position),
        execution_options={"yield_per": 1000},
    )
    async for texts in entries:
        for text in texts:
            if (history := histories.get(_identity(text))) is not None:
                history.append(parse_update(text))
    try:
        for identity, update in by_identity.items():
            replay([*histories[identity], update])
    except ReplayConflict as conflict:
        raise LedgerDisagrees(organization=id, conflict=conflict) from conflict


def _identity(update: str) -> str:
    """Return the identity of an update's relationship, without the cost of parsing it."""
    _, _, rest = update.partition(" ")
    return rest.partition(WAS)[0].partition(EXPIRATION_PREFIX)[0]
