"""Make administrators, as an operator."""

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.members import AdministratorGranted
from teamaccess.directory.members.end import cancel_invitations
from teamaccess.directory.users.addresses import normalize_email
from teamaccess.directory.users.find import user_with
from teamaccess.storage import Membership, OrganizationId, RoleId


async def grant_administrator(
    change: Change, organization: OrganizationId, email: str, reason: str
) -> Membership:
    """Make the user with the address an administrator without an end; return the membership.

    Only operators do this: "If you need to assign Administrator privileges to a user, please contact us"
    (fintoc's page). A new address becomes a user and a member. A suspended member is active again, and
    the membership no longer has an end. Raises InvalidEmail.
    """
    user = await user_with(change, normalize_email(email))
    role = RoleId(change.catalog.administrator)
    membership = await change.session.get(Membership, (organization, user.id))
    if membership is None:
        membership = Membership.begin(organization, user, [role], change.now)
        change.session.add(membership)
    else:
        await change.session.refresh(membership, ["assignments"])
        membership.suspended_at = membership.expires_at = None
        ends = {assignment.role: assignment.expires_at for assignment in membership.assignments}
        membership.replace_roles({**ends, role: None}, change.now)
    await cancel_invitations(change, organization, [normalize_email(email)])
    await record(change, AdministratorGranted(), organization, user.id, reason)
    return membership
