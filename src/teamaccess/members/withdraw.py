"""Take back what is still on offer to somebody."""

from collections.abc import Collection

from sqlalchemy import select

from teamaccess.ledger import Change
from teamaccess.models import Invitation, OrganizationId


async def withdraw(change: Change, organization: OrganizationId, emails: Collection[str]) -> None:
    """Cancel what is on offer to addresses whose membership has begun or ended otherwise.

    An old link must not bring back somebody who was removed after it was sent.
    """
    offers = await change.session.scalars(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.email.in_(emails),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
        )
    )
    for invitation in offers:
        invitation.cancel(change.now)
