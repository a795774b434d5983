"""The progress of ledgers in one snapshot, without locks and without delivering anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import (
    DONE,
    LedgerApplication,
    LedgerHead,
    Organization,
    OrganizationId,
)


@dataclass(frozen=True)
class LedgerProgress:
    """The newest position of an organization, and how much of its ledger SpiceDB has confirmed."""

    organization: OrganizationId
    position: int
    hash: bytes
    decided_at: datetime
    confirmed: int
    """The newest position that SpiceDB has confirmed."""
    refusal: str | None
    """SpiceDB's reason for refusing an entry for good, if it did."""
    ended: bool
    """Whether the organization has ended."""

    @property
    def delivered(self) -> bool:
        """Whether SpiceDB has confirmed the whole ledger."""
        return self.confirmed == self.position


async def newest_progress(
    session: AsyncSession, organizations: Iterable[OrganizationId]
) -> list[LedgerProgress]:
    """Return the progress of the organizations in the order of ids.

    Ended organizations are included. Unknown ones are left out.
    """
    of_this_ledger = LedgerApplication.organization_id == LedgerHead.organization_id
    confirmed = (
        select(func.max(LedgerApplication.position))
        .where(of_this_ledger, LedgerApplication.status.in_(DONE))
        .scalar_subquery()
    )
    refusal = (
        select(func.min(LedgerApplication.refusal))
        .where(of_this_ledger, LedgerApplication.status == "refused")
        .scalar_subquery()
    )
    rows = await session.execute(
        select(
            LedgerHead.organization_id,
            LedgerHead.position,
            LedgerHead.hash,
            LedgerHead.decided_at,
            func.coalesce(confirmed, 0),
            refusal,
            Organization.deleted_at.is_not(None),
        )
        .join(Organization, Organization.id == LedgerHead.organization_id)
        .where(LedgerHead.organization_id.in_(list(organizations)))
        .order_by(LedgerHead.organization_id)
    )
    return [LedgerProgress(*row) for row in rows]
