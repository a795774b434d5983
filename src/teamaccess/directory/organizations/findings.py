"""Findings about organizations, which an operator has to look at."""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import FindingResolved
from teamaccess.common.errors import NotFound
from teamaccess.storage import Event, Finding, FindingKind, Organization

MOST_LISTED = 1000


class UnknownFinding(NotFound):
    """There is no finding with this number."""

    message = "There is no finding {finding}. `teamaccess findings list --all` lists all findings."


async def newest_findings(
    session: AsyncSession, organization: str | None = None, *, resolved: bool = False
) -> Sequence[Finding]:
    """Return at most MOST_LISTED findings, the newest first: the open ones, or with `resolved` all."""
    found = select(Finding).order_by(Finding.id.desc()).limit(MOST_LISTED)
    if organization is not None:
        found = found.where(Finding.organization_id == organization)
    if not resolved:
        found = found.where(Finding.resolved_at.is_(None))
    return (await session.scalars(found)).all()


async def resolve_findings(change: Change, ids: Collection[int], reason: str) -> Sequence[Finding]:
    """Resolve findings, all of them or none; return them.

    It asks SpiceDB nothing and locks no organization, so it works for an organization that is stopped, or
    that only SpiceDB has. Raises UnknownFinding, AlreadyResolved and EndsByItself.
    """
    wanted = select(Finding).where(Finding.id.in_(ids)).order_by(Finding.id).with_for_update()
    found = (await change.session.scalars(wanted)).all()
    for id in set(ids) - {finding.id for finding in found}:
        raise UnknownFinding(finding=id)
    for finding in found:
        finding.resolve(change.attribution.actor, change.now)
        await _record(change, finding, reason)
    return found


async def _record(change: Change, finding: Finding, reason: str) -> None:
    """Record it in the organization's chain; a tenant without a row has no chain of its own."""
    tenant = finding.organization_id
    existing = select(Organization.id).where(Organization.id == tenant)
    await record(
        change,
        FindingResolved(found=FindingKind(finding.kind), organization=tenant),
        await change.session.scalar(existing) or Event.PLATFORM,
        str(finding.id),
        reason,
    )
