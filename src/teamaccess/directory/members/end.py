"""End memberships, with everything that depends on them."""

from collections.abc import Collection, Sequence

from sqlalchemy import select

from teamaccess.changes import Change
from teamaccess.directory.withdrawals import withdraw_with_membership
from teamaccess.storage import Invitation, Membership, OrganizationId


async def cancel_invitations(
    change: Change, organization: OrganizationId, emails: Collection[str]
) -> None:
    """Cancel the open invitations to addresses whose user became a member in another way, or was removed.

    An old link must not bring back somebody who was removed after it was sent.
    """
    invitations = await change.session.scalars(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.email.in_(emails),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
        )
    )
    for invitation in invitations:
        invitation.cancel(change.now)


async def end_memberships(
    change: Change, organization: OrganizationId, members: Sequence[Membership]
) -> None:
    """End memberships with everything that depends on them, and the sessions of these users."""
    emails = [member.user.email for member in members if member.user.email is not None]
    await cancel_invitations(change, organization, emails)
    await withdraw_with_membership(change, organization, [member.user_id for member in members])
    for member in members:
        change.end_sessions(member.user)
        await change.session.delete(member)
