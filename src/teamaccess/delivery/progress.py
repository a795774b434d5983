"""How far ledgers have come, as one snapshot has it: nothing is locked and nothing brought in."""

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
    """The newest position of an organization, and what of its ledger SpiceDB is not known to have."""

    organization: OrganizationId
    position: int
    hash: bytes
    decided_at: datetime
    confirmed: int
    """The newest position that SpiceDB is known to have."""
    refusal: str | None
    """What SpiceDB said to an entry that it will never take."""
    ended: bool
    """Whether the organization is no more."""

    @property
    def settled(self) -> bool:
        """Whether SpiceDB is known to have it all."""
        return self.confirmed == self.position


async def newest_progress(
    session: AsyncSession, organizations: Iterable[OrganizationId]
) -> list[LedgerProgress]:
    """Return where the organizations stand, in the order of ids; ended ones too, unknown ones not."""
    mine = LedgerApplication.organization_id == LedgerHead.organization_id
    confirmed = (
        select(func.max(LedgerApplication.position))
        .where(mine, LedgerApplication.status.in_(DONE))
        .scalar_subquery()
    )
    refusal = (
        select(func.min(LedgerApplication.refusal))
        .where(mine, LedgerApplication.status == "refused")
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
