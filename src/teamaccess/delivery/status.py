"""The status of all ledgers, for operators and monitoring."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, Float, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.storage import (
    ApplicationStatus,
    Finding,
    LedgerApplication,
    LedgerEntry,
    Organization,
    OrganizationId,
    Reconciliation,
    WatchCursor,
)

MOST_ORGANIZATIONS = 1000
"""The most organizations that are listed one by one. More than that have one common cause."""


@dataclass(frozen=True)
class StoppedOrganization:
    """An organization whose next entry SpiceDB refuses for good."""

    organization: OrganizationId
    position: int
    decided_at: datetime
    refusal: str


@dataclass(frozen=True)
class OpenFindings:
    """The open findings of one kind."""

    kind: str
    """A FindingKind, or a kind that another version recorded."""
    count: int
    concerned: int
    """The number of organizations with such findings. Some may exist only in SpiceDB."""
    organizations: list[str]
    """The first of these organizations."""


@dataclass(frozen=True)
class LedgerStatus:
    """The pending positions, the stopped organizations and the open findings."""

    pending: int
    """Positions that SpiceDB has not confirmed. A healthy deployment has only those of this moment."""
    oldest_pending_seconds: float
    stopped: list[StoppedOrganization]
    findings: list[OpenFindings]
    """One item for each kind with open findings."""
    unchecked_organizations: int
    """Organizations that were never reconciled."""
    oldest_check_seconds: float
    """Seconds since the oldest of the organizations' last reconciliations."""
    unwatched_seconds: float | None
    """Seconds since a worker last recorded that it had seen every write to SpiceDB; None if none
    ever did."""

    @property
    def open_findings(self) -> int:
        """The number of open findings of all kinds."""
        return sum(finding.count for finding in self.findings)


async def ledger_status(session: AsyncSession) -> LedgerStatus:
    """Return the status of all ledgers. The queries use indexes that are small if all is well."""
    pending = (await session.execute(PENDING)).one()
    checks = (await session.execute(CHECKS)).one()
    stopped = [StoppedOrganization(*row) for row in await session.execute(STOPPED)]
    findings = [OpenFindings(*row) for row in await session.execute(FINDINGS)]
    return LedgerStatus(
        pending.positions,
        float(pending.age),
        stopped,
        findings,
        checks.never,
        float(checks.age),
        await session.scalar(UNWATCHED_SECONDS),
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
    .limit(MOST_ORGANIZATIONS)
)
UNWATCHED_SECONDS = select(cast(func.extract("epoch", _NOW - WatchCursor.saved_at), Float))
_CONCERNED = Finding.organization_id.distinct()
FINDINGS = (
    select(
        Finding.kind,
        func.count(),
        func.count(_CONCERNED),
        func.array_agg(_CONCERNED, type_=ARRAY(Text))[1:MOST_ORGANIZATIONS],
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
