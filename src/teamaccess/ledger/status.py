"""How the ledgers stand altogether: what an operator looks at, and a monitor."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger.delivery import SAME_POSITION
from teamaccess.models import (
    ApplicationStatus,
    Finding,
    LedgerApplication,
    LedgerEntry,
    Organization,
    OrganizationId,
    Reconciliation,
)

MOST_TOLD = 1000
"""Stopped organizations that are told one by one; more of them have one cause."""


@dataclass(frozen=True)
class Stopped:
    """An organization whose next entry SpiceDB refuses for good."""

    organization: OrganizationId
    position: int
    decided_at: datetime
    refusal: str


@dataclass(frozen=True)
class LedgerStatus:
    """What waits, what has stopped, and what was found."""

    pending: int
    """Positions that SpiceDB has not confirmed; a healthy deployment has those of this very moment."""
    oldest_pending_seconds: float
    stopped: list[Stopped]
    open_findings: int
    unchecked_organizations: int
    """Organizations that were never compared with SpiceDB."""
    oldest_check_seconds: float
    """How long ago the organization was compared whose turn is next."""


async def ledger_status(session: AsyncSession) -> LedgerStatus:
    """Return how the ledgers stand; a few queries on indexes that are small when all is well."""
    pending = (await session.execute(PENDING)).one()
    checks = (await session.execute(CHECKS)).one()
    stopped = [Stopped(*row) for row in await session.execute(STOPPED)]
    findings = await session.scalar(FINDINGS)
    return LedgerStatus(
        pending.positions,
        float(pending.age),
        stopped,
        findings or 0,
        checks.never,
        float(checks.age),
    )


_NOW = func.clock_timestamp()
PENDING = (
    select(
        func.count().label("positions"),
        func.coalesce(func.extract("epoch", _NOW - func.min(LedgerEntry.decided_at)), 0).label(
            "age"
        ),
    )
    .select_from(LedgerApplication)
    .join(LedgerEntry, SAME_POSITION)
    .where(LedgerApplication.status == ApplicationStatus.PENDING)
)
STOPPED = (
    select(
        LedgerApplication.organization_id,
        LedgerApplication.position,
        LedgerEntry.decided_at,
        func.coalesce(LedgerApplication.refusal, "").label("refusal"),
    )
    .join(LedgerEntry, SAME_POSITION)
    .where(LedgerApplication.status == ApplicationStatus.REFUSED)
    .order_by(LedgerEntry.decided_at)
    .limit(MOST_TOLD)
)
FINDINGS = select(func.count()).select_from(Finding).where(Finding.resolved_at.is_(None))
CHECKS = (
    select(
        func.count().filter(Reconciliation.checked_at.is_(None)).label("never"),
        func.coalesce(func.extract("epoch", _NOW - func.min(Reconciliation.checked_at)), 0).label(
            "age"
        ),
    )
    .select_from(Organization)
    .outerjoin(Reconciliation, Reconciliation.organization_id == Organization.id)
    .where(Organization.deleted_at.is_(None))
)
