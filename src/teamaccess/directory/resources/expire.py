"""End grants whose end has come."""

from sqlalchemy import select

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.storage import Grant, OrganizationId


async def expire_grants(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most so many grants; return how many. Nobody is asked: they were given until then."""
    found = await change.session.scalars(
        select(Grant)
        .where(Grant.organization_id == organization, Grant.due(change.now))
        .order_by(Grant.expires_at)
        .limit(most)
    )
    ended = found.all()
    for grant in ended:
        await change.session.delete(grant)
        await record(
            change,
            "grant_ended",
            organization,
            str(grant.reference),
            action=grant.action,
            holder=f"{grant.holder_kind}:{grant.holder}",
            expires_at=grant.expires_at.isoformat() if grant.expires_at else None,
        )
    return len(ended)
