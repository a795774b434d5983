"""Keep what a comparison came to: when it was, how much it found, and the finding itself."""

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


async def asked_at(session: AsyncSession, id: OrganizationId) -> datetime | None:
    """Return when somebody asked for an organization to be compared, None where nobody waits for it."""
    mine = Reconciliation.organization_id == id
    asked: datetime | None = await session.scalar(select(Reconciliation.asked_at).where(mine))
    return asked


async def keep(
    sessions: Sessions, verdict: ReconcileResult, comparison: Comparison, asked: datetime | None
) -> None:
    """Keep the result of a comparison; what was mended is resolved.

    It answers who had `asked` when it began. Who has asked since then waits on.
    """
    id = OrganizationId(verdict.organization)
    async with sessions.begin() as session:
        await _checked(session, id, verdict.left)
        answered = Reconciliation.organization_id == id, Reconciliation.asked_at == asked
        await session.execute(update(Reconciliation).where(*answered).values(asked_at=None))
        found = (
            [await findings.record(session, FindingKind.DRIFT, id, comparison.details())]
            if verdict.found
            else []
        )
        left = found if verdict.left else []
        await findings.resolve(session, FindingKind.DRIFT, id, but=left)
        await findings.resolve(session, FindingKind.OTHER_HISTORY, id)


async def keep_other_history(sessions: Sessions, id: OrganizationId) -> None:
    """Keep that the ledger and SpiceDB have different histories, so that nothing can be compared.

    Who asked for it waits until something can.
    """
    async with sessions.begin() as session:
        await _checked(session, id, 1)
        await findings.record(session, FindingKind.OTHER_HISTORY, id, {})


async def keep_stranger(sessions: Sessions, verdict: ReconcileResult) -> None:
    """Keep that SpiceDB holds something of a tenant that nobody knows."""
    details = {"counts": verdict.counts, **verdict.differences}
    name = verdict.organization
    async with sessions.begin() as session:
        found = [await findings.record(session, FindingKind.DRIFT, name, details)]
        left = found if verdict.left else []
        await findings.resolve(session, FindingKind.DRIFT, name, but=left)


async def keep_agreement(sessions: Sessions, since: datetime, suspected: set[str]) -> None:
    """Keep that all others agreed: every organization there was, but those that were suspected."""
    # one parameter, for there may be more of them than PostgreSQL takes parameters
    each_suspect = all_(literal(list(suspected), ARRAY(Text)))
    others = Organization.id != each_suspect
    checked = (
        select(Organization.id, literal(since), literal(0))
        .where(others, Organization.created_at <= since)
        .order_by(Organization.id)  # as a rebuilding does, so that neither waits for the other
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


async def _checked(session: AsyncSession, id: OrganizationId, differences: int) -> None:
    now = func.clock_timestamp()
    result = {"checked_at": now, "differences": differences}
    await session.execute(
        insert(Reconciliation)
        .values(organization_id=id, **result)
        .on_conflict_do_update(index_elements=["organization_id"], set_=result)
    )
