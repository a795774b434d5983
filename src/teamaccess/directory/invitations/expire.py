"""Put invitations away whose end has come."""

from sqlalchemy import select

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.storage import Invitation, OrganizationId


async def expire_invitations(change: Change, organization: OrganizationId, most: int) -> int:
    """Let at most so many open invitations lapse; return how many. They stay listed as expired."""
    found = await change.session.scalars(
        select(Invitation)
        .where(Invitation.organization_id == organization, Invitation.due(change.now))
        .order_by(Invitation.expires_at)
        .limit(most)
    )
    expired = found.all()
    for invitation in expired:
        invitation.lapse()
        await record(
            change,
            "invitation_expired",
            organization,
            f"invitation:{invitation.id}",
            roles=invitation.roles,
            expires_at=invitation.expires_at.isoformat(),
        )
    return len(expired)
