"""How the ledgers stand altogether: what an operator looks at, and a monitor."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, Text, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.storage import (
    ApplicationStatus,
    Finding,
    FindingKind,
    LedgerApplication,
    LedgerEntry,
    Organization,
    OrganizationId,
    Reconciliation,
)

MOST_TOLD = 1000
"""Organizations that are told one by one; more of them have one cause."""


@dataclass(frozen=True)
class Stopped:
    """An organization whose next entry SpiceDB refuses for good."""

    organization: OrganizationId
    position: int
    decided_at: datetime
    refusal: str


@dataclass(frozen=True)
class OpenFindings:
    """What is open of one kind of findings."""

    kind: FindingKind
    count: int
    concerned: int
    """How many organizations they are about, perhaps some that only SpiceDB knows."""
    organizations: list[str]
    """The first of them."""


@dataclass(frozen=True)
class LedgerStatus:
    """What waits, what has stopped, and what was found."""

    pending: int
    """Positions that SpiceDB has not confirmed; a healthy deployment has those of this very moment."""
    oldest_pending_seconds: float
    stopped: list[Stopped]
    findings: list[OpenFindings]
    """Of every kind of which some are open."""
    unchecked_organizations: int
    """Organizations that were never compared with SpiceDB."""
    oldest_check_seconds: float
    """How long ago the organization was compared whose turn is next."""

    @property
    def open_findings(self) -> int:
        """How many findings are open, of whatever kind."""
        return sum(each.count for each in self.findings)


async def ledger_status(session: AsyncSession) -> LedgerStatus:
    """Return how the ledgers stand; a few queries on indexes that are small when all is well."""
    pending = (await session.execute(PENDING)).one()
    checks = (await session.execute(CHECKS)).one()
    stopped = [Stopped(*row) for row in await session.execute(STOPPED)]
    findings = [
        OpenFindings(FindingKind(kind), *found) for kind, *found in await session.execute(FINDINGS)
    ]
    return LedgerStatus(
        pending.positions,
        float(pending.age),
        stopped,
        findings,
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
_CONCERNED = Finding.organization_id.distinct()
FINDINGS = (
    select(
        Finding.kind,
        func.count(),
        func.count(_CONCERNED),
        func.array_agg(_CONCERNED, type_=ARRAY(Text))[1:MOST_TOLD],
    )
    .where(Finding.resolved_at.is_(None))
    .group_by(Finding.kind)
    .order_by(Finding.kind)
)
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
