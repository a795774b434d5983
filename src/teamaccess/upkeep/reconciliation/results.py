"""Save the result of a comparison: its time, the number of differences, and the finding."""

from datetime import datetime

from sqlalchemy import ARRAY, Text, all_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger import Sessions
from teamaccess.storage import (
    Finding,
    FindingKind,
    Organization,
    OrganizationId,
    Reconciliation,
)
from teamaccess.upkeep import findings
from teamaccess.upkeep.reconciliation.comparison import Comparison
from teamaccess.upkeep.reconciliation.result import ReconcileResult

NOT_COMPARED = "it could not be compared. The log has the reason (comparison_failed)"


async def requested_at(session: AsyncSession, id: OrganizationId) -> datetime | None:
    """Return when a comparison of the organization was requested; None if no request is open."""
    of_organization = Reconciliation.organization_id == id
    requested: datetime | None = await session.scalar(
        select(Reconciliation.asked_at).where(of_organization)
    )
    return requested


async def save_result(
    sessions: Sessions, result: ReconcileResult, comparison: Comparison, requested: datetime | None
) -> None:
    """Save the result of a comparison. Findings about repaired differences are resolved.

    The result answers the request that was made at `requested`. A later request stays open.
    """
    id = OrganizationId(result.organization)
    async with sessions.begin() as session:
        await _save_comparison(session, id, result.left)
        answered = Reconciliation.organization_id == id, Reconciliation.asked_at == requested
        await session.execute(update(Reconciliation).where(*answered).values(asked_at=None))
        found = (
            [await findings.record_finding(session, FindingKind.DRIFT, id, comparison.details())]
            if result.found
            else []
        )
        left = found if result.left else []
        await findings.close_findings(session, FindingKind.DRIFT, id, but=left)
        await findings.close_findings(session, FindingKind.OTHER_HISTORY, id)


async def save_other_history(sessions: Sessions, id: OrganizationId) -> None:
    """Save that the ledger and SpiceDB have different histories, so that they cannot be compared.

    An open request stays open until they can.
    """
    async with sessions.begin() as session:
        await _save_comparison(session, id, 1)
        await findings.record_finding(session, FindingKind.OTHER_HISTORY, id, {})


async def save_failure(sessions: Sessions, id: OrganizationId) -> None:
    """Save that an organization cannot be compared. The next successful comparison closes the finding."""
    async with sessions.begin() as session:
        await _save_comparison(session, id, 1)
        await findings.record_finding(session, FindingKind.DRIFT, id, {"why": NOT_COMPARED})


async def save_unknown_tenant(sessions: Sessions, result: ReconcileResult) -> None:
    """Save that SpiceDB holds relationships of an unknown tenant."""
    details = {"counts": result.counts, **result.differences}
    name = result.organization
    async with sessions.begin() as session:
        found = [await findings.record_finding(session, FindingKind.DRIFT, name, details)]
        left = found if result.left else []
        await findings.close_findings(session, FindingKind.DRIFT, name, but=left)


async def save_agreement(sessions: Sessions, since: datetime, suspected: set[str]) -> None:
    """Save that all organizations created before `since` agreed, except the suspected ones."""
    # an array, because there may be more ids than PostgreSQL allows parameters
    each_suspect = all_(literal(list(suspected), ARRAY(Text)))
    others = Organization.id != each_suspect
    checked = (
        select(Organization.id, literal(since), literal(0))
        .where(others, Organization.created_at <= since)
        .order_by(Organization.id)  # the order of a rebuild, so that the two cannot deadlock
    )
    columns = ["organization_id", "checked_at", "differences"]
    agreeing = insert(Reconciliation).from_select(columns, checked)
    async with sessions.begin() as session:
        await session.execute(
            agreeing.on_conflict_do_update(
                index_elements=["organization_id"],
                set_={name: agreeing.excluded[name] for name in columns[1:]},
                where=Reconciliation.checked_at < since,
            )
        )
        await session.execute(
            update(Finding)
            .where(
                Finding.kind.in_([kind for kind in FindingKind if kind.is_state]),
                Finding.resolved_at.is_(None),
                Finding.found_at < since,
                Finding.organization_id != each_suspect,
            )
            .values(resolved_at=func.clock_timestamp())
        )


async def _save_comparison(session: AsyncSession, id: OrganizationId, differences: int) -> None:
    now = func.clock_timestamp()
    result = {"checked_at": now, "differences": differences}
    await session.execute(
        insert(Reconciliation)
        .values(organization_id=id, **result)
        .on_conflict_do_update(index_elements=["organization_id"], set_=result)
    )
