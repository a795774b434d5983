"""What the end of a membership means, whoever or whatever ends it."""

from collections.abc import Sequence

from teamaccess.access_requests.withdraw import withdraw_with_membership
from teamaccess.ledger import Change
from teamaccess.members.withdraw import withdraw
from teamaccess.models import Membership, OrganizationId


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
