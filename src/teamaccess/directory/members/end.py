"""End memberships, with everything that depends on them."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from teamaccess.changes import Change
from teamaccess.directory.withdrawals import withdraw_with_membership
from teamaccess.storage import Invitation, Membership, OrganizationId


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


async def end_memberships(
    change: Change, organization: OrganizationId, members: Sequence[Membership]
) -> None:
    """End memberships with everything that hangs on them, and these people's sessions."""
    await withdraw(
        change, organization, [each.user.email for each in members if each.user.email is not None]
    )
    await withdraw_with_membership(change, organization, [each.user_id for each in members])
    for member in members:
        change.end_sessions(member.user)
        await change.session.delete(member)
