"""End memberships, with everything that depends on them."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, literal_column, select

from teamaccess.changes import Change
from teamaccess.directory.withdrawals import withdraw_with_membership
from teamaccess.storage import Invitation, Membership, OrganizationId
from teamaccess.storage.directory.user import MAILBOX_SQL, mailbox


async def cancel_invitations(
    change: Change, organization: OrganizationId, emails: Collection[str]
) -> None:
    """Cancel the open invitations to mailboxes whose user became a member in another way, or was removed.

    SECURITY: an old link must not bring back somebody who was removed after it was sent, whatever
    spelling of their address it was sent to.
    """
    addressee: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="invitations.email"))
    invitations = await change.session.scalars(
        select(Invitation).where(
            Invitation.organization_id == organization,
            addressee.in_([mailbox(each) for each in emails]),
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
