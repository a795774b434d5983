"""Everything an administrator does to a member: change roles, suspend, reactivate, remove."""

from datetime import datetime

from teamaccess.access.authorize import MEMBERSHIP, authorize, require_held
from teamaccess.access.giving import Ends, refuse_bad_end, refuse_operator_only
from teamaccess.access.holdings import actions_held
from teamaccess.access.member_rules import keep_one_administrator, later, refuse_above
from teamaccess.access.role_set import role_set_of
from teamaccess.access.selves import is_self, refuse_unless_in_person
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.directory.members.assign import replace_roles
from teamaccess.directory.members.end import end_memberships
from teamaccess.directory.members.find import UnknownMember, find_member
from teamaccess.storage import Membership, OrganizationId, UserId


async def change_roles(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    user: UserId,
    roles: Ends,
    reason: str | None = None,
) -> Membership:
    """Give a member exactly these roles, and return the member.

    The difference reaches the engine as one write, so what they keep is in force throughout. Raises
    what `roles.rules` and `members.rules` say, UnknownRole and UnknownMember.
    """
    member = await find_member(change.session, organization, user)
    before = member.roles if member else []
    had = {each.role: each.expires_at for each in member.assignments} if member else {}
    member = await replace_roles(change, actor, organization, user, roles)
    if had == dict(roles):
        return member  # nothing happened, so there is nothing to record
    ends = {role: until.isoformat() for role, until in roles.items() if until is not None}
    about = {"before": before, "after": member.roles, "ends": ends}
    await record(change, "roles_changed", organization, f"user:{user}", reason, **about)
    return member


async def change_end(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    user: UserId,
    until: datetime | None,
    reason: str | None = None,
) -> Membership:
    """Let a membership end then, or without an end; return the member.

    Extending is giving all that the member holds: not what only operators give. Raises what
    `roles.rules` and `members.rules` say, and UnknownMember.
    """
    member = await _under(change, actor, organization, user, "change_roles")
    before = member.expires_at
    if until == before:
        return member
    refuse_bad_end(change.catalog, until, change.now)
    if later(until, before):
        known = await role_set_of(change.session, change.catalog, organization, member.roles)
        refuse_operator_only(change, member.roles, known)
    if until is not None:
        await keep_one_administrator(change, member)
    member.expires_at = until
    told = {"before": before, "after": until}
    ends = {name: at.isoformat() if at else None for name, at in told.items()}
    await record(change, "membership_end_changed", organization, f"user:{user}", reason, **ends)
    return member


async def suspend(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    user: UserId,
    reason: str | None = None,
) -> Membership:
    """Take away everything a member can do, keeping the roles for their return."""
    member = await _under(change, actor, organization, user, "suspend")
    if member.suspended_at is None:
        await keep_one_administrator(change, member)
    member.suspend(change.now)
    await record(change, "member_suspended", organization, f"user:{user}", reason)
    return member


async def reactivate(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    user: UserId,
    reason: str | None = None,
) -> Membership:
    """Give a suspended member everything back; the actor must hold all of it, as for giving."""
    member = await _under(change, actor, organization, user, "reactivate")
    member.reactivate()
    await record(change, "member_reactivated", organization, f"user:{user}", reason)
    return member


async def remove(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    user: UserId,
    reason: str | None = None,
) -> None:
    """End a membership with everything that hangs on it, and the sessions of the removed."""
    member = await _under(change, actor, organization, user, "remove")
    await _end(change, member)
    await record(change, "member_removed", organization, f"user:{user}", reason, roles=member.roles)


async def leave(change: Change, organization: OrganizationId, user: UserId) -> None:
    """End one's own membership; that takes no permission, only a membership that the engine knows.

    Raises OnlyInPerson for who acts on another's behalf, who may perhaps not remove them.
    """
    refuse_unless_in_person(change)
    held = await change.permitted(organization, user, [MEMBERSHIP])
    require_held(held, organization, MEMBERSHIP)
    member = _known(await find_member(change.session, organization, user), organization, user)
    await _end(change, member)
    await record(change, "member_left", organization, f"user:{user}", roles=member.roles)


async def _end(change: Change, member: Membership) -> None:
    await keep_one_administrator(change, member)
    await end_memberships(change, member.organization_id, [member])


async def _under(
    change: Change, actor: UserId, organization: OrganizationId, user: UserId, operation: str
) -> Membership:
    """Return the member, if the actor may do the operation to them."""
    member = await find_member(change.session, organization, user)
    theirs = await actions_held(change, member) if member else frozenset()
    # asked once for everything that will matter; the guard is judged before anything is told
    held = await authorize(change, actor, organization, operation, holding=theirs)
    member = _known(member, organization, user)
    if not is_self(change, actor, user):
        refuse_above(member, theirs, held)
    return member


def _known(member: Membership | None, organization: OrganizationId, user: UserId) -> Membership:
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    return member
