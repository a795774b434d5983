"""Which organizations are being imported into SpiceDB: Watch cannot tell these writes from a stranger's.

Each is kept with the transaction that imports it. The last write of a rebuilding names that transaction
again, so whoever has read so far knows that all of its imports lie behind, and none of a later one.
"""

from collections.abc import Iterable

from sqlalchemy import case, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger import Sessions
from teamaccess.models import Organization, OrganizationId, Reconciliation

FORGET_ENDED = text("""
UPDATE reconciliations SET importing = NULL
WHERE pg_visible_in_snapshot(importing::xid8, pg_current_snapshot())
""")
"""A transaction is visible in a snapshot if it had come to its end by then, whatever the end was."""


async def begin(
    sessions: Sessions, transaction: str, organizations: Iterable[OrganizationId]
) -> None:
    """Keep, before the first import, that the transaction imports these from now on."""
    now = func.clock_timestamp()
    mine = (
        select(Organization.id, now, literal(0), now, literal(transaction))
        .where(Organization.id.in_(organizations))
        .order_by(Organization.id)
    )
    beginning = insert(Reconciliation).from_select(
        ["organization_id", "checked_at", "differences", "asked_at", "importing"], mine
    )
    async with sessions.begin() as session:
        await session.execute(
            beginning.on_conflict_do_update(
                index_elements=["organization_id"],
                set_={"importing": beginning.excluded.importing},
            )
        )


async def being_imported(session: AsyncSession, names: Iterable[str]) -> set[str]:
    """Return those of the tenants that are being imported."""
    mine = select(Reconciliation.organization_id).where(
        Reconciliation.organization_id.in_(names), Reconciliation.importing.is_not(None)
    )
    return {str(id) for id in await session.scalars(mine)}


async def ended(session: AsyncSession, organization: str, transaction: str) -> None:
    """Keep that all that this transaction imports of the organization has been seen.

    If somebody has asked to compare it, that is worth while from now on.
    """
    asked_anew = case((Reconciliation.asked_at.is_not(None), func.clock_timestamp()))
    await session.execute(
        update(Reconciliation)
        .where(
            Reconciliation.organization_id == organization,
            Reconciliation.importing == transaction,
        )
        .values(importing=None, asked_at=asked_anew)
    )


async def forget_ended(session: AsyncSession) -> None:
    """Keep of all transactions that are over that nothing they import will be seen any more."""
    await session.execute(FORGET_ENDED)
