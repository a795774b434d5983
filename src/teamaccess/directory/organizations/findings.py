"""What was found about organizations, for the operator who has to look at it."""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import NotFound
from teamaccess.storage import Event, Finding, Organization

MOST_LISTED = 1000


class UnknownFinding(NotFound):
    """There is no finding {finding}: `teamaccess findings list --all` tells which there are."""


async def newest(
    session: AsyncSession, organization: str | None = None, *, resolved: bool = False
) -> Sequence[Finding]:
    """Return the newest findings first, at most MOST_LISTED: the open ones, or the resolved ones too."""
    found = select(Finding).order_by(Finding.id.desc()).limit(MOST_LISTED)
    if organization is not None:
        found = found.where(Finding.organization_id == organization)
    if not resolved:
        found = found.where(Finding.resolved_at.is_(None))
    return (await session.scalars(found)).all()


async def resolve(change: Change, ids: Collection[int], reason: str) -> Sequence[Finding]:
    """Close findings as looked at, all of them or none; return them.

    It asks SpiceDB nothing and locks no organization: one that has stopped, or that only SpiceDB knows,
    can be dealt with too. Raises UnknownFinding, AlreadyResolved and EndsByItself.
    """
    wanted = select(Finding).where(Finding.id.in_(ids)).order_by(Finding.id).with_for_update()
    found = (await change.session.scalars(wanted)).all()
    for id in set(ids) - {finding.id for finding in found}:
        raise UnknownFinding(finding=id)
    for finding in found:
        finding.resolve(change.attribution.actor, change.now)
        await _tell(change, finding, reason)
    return found


async def _tell(change: Change, finding: Finding, reason: str) -> None:
    """Record it where it belongs: a tenant that no row knows has no chain of its own."""
    about = finding.organization_id
    known = select(Organization.id).where(Organization.id == about)
    await record(
        change,
        "finding_resolved",
        await change.session.scalar(known) or Event.PLATFORM,
        f"finding:{finding.id}",
        reason,
        found=finding.kind,
        organization=about,
    )
