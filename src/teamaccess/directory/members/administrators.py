"""Make administrators, as an operator."""

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.directory.members.end import withdraw
from teamaccess.directory.users.addresses import normalise
from teamaccess.directory.users.make import user_with
from teamaccess.storage import Membership, OrganizationId, RoleId


async def grant_administrator(
    change: Change, organization: OrganizationId, email: str, reason: str
) -> Membership:
    """Make somebody administrator without an end, as an operator; return the membership.

    Whoever is new becomes a user and a member; whoever is suspended is active again, and whose
    membership has an end stays. "If you need
    to assign Administrator privileges to a user, please contact us" (fintoc's page).
    """
    user = await user_with(change, normalise(email))
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
    await withdraw(change, organization, [normalise(email)])
    await record(change, "administrator_granted", organization, f"user:{user.id}", reason)
    return membership
