"""Everything an administrator does to a member: change roles and ends, suspend, reactivate, remove."""

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select

from teamaccess.access.authorize import (
    NO_GIFT,
    Ends,
    Gift,
    authorize_giving,
    authorize_on,
    ends_of,
    gift_of_replacement,
    is_later,
    require_in_person,
    require_membership,
)
from teamaccess.access.holdings import Target, custom_among, member_target, role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.members import (
    MemberLeft,
    MemberReactivated,
    MemberRemoved,
    MembershipEndChanged,
    MemberSuspended,
    RolesChanged,
)
from teamaccess.common.errors import Conflict
from teamaccess.directory.members.end import end_memberships
from teamaccess.directory.members.find import UnknownMember, find_member, get_member
from teamaccess.storage import Membership, RoleAssignment, RoleId, User, UserId


class LastAdministrator(Conflict):
    """The change would leave the organization without an active administrator who stays."""

    message = (
        "{user} is the last active administrator of {organization} without an end date. Make "
        "somebody else an administrator first."
    )


class RoleHeldLonger(Conflict):
    """The member already holds the role for longer. Giving access never shortens it."""

    message = (
        "{user} already holds the role {role} {until}, and approving a request never shortens "
        "access."
    )


class RolesReplaced(NamedTuple):
    """A member whose roles were replaced, and the roles that they held before."""

    member: Membership
    before: Ends


async def change_member_roles(
    change: OrganizationChange, user: UserId, roles: Ends, reason: str | None = None
) -> RolesReplaced:
    """Give a member exactly these roles; return the member and the roles held before.

    The difference reaches SpiceDB in one write, so the roles that stay are in force throughout. Raises
    what `replace_roles` does.
    """
    member = await find_member(change.session, change.organization, user)
    before = ends_of(member.assignments) if member else {}
    member = await replace_roles(change, user, member, roles)
    if before == dict(roles):
        return RolesReplaced(member, before)  # nothing has changed, so there is nothing to record
    ends = {role: end for role, end in roles.items() if end is not None}
    details = RolesChanged(before=sorted(before), after=member.roles, ends=ends)
    await record(change, details, change.organization, user, reason)
    return RolesReplaced(member, before)


async def replace_roles(
    change: OrganizationChange, user: UserId, member: Membership | None, roles: Ends
) -> Membership:
    """Replace the roles of the member, if there is one; return the member.

    Raises what `authorize_giving` does, UnknownMember and LastAdministrator.
    """
    role_set = await role_set_in(change, roles)
    before = member.assignments if member else ()
    gift = gift_of_replacement(role_set, before, roles, change.now)
    target = await _target(change, user, member)
    member = await authorize_giving(change, "change_roles", gift, target)
    if roles.get(RoleId(change.catalog.administrator), change.now) is not None:
        await keep_one_administrator(change, member)
    member.replace_roles(roles, change.now, custom=custom_among(change.catalog, roles))
    return member


async def give_role(
    change: OrganizationChange, member: Membership, role: RoleId, until: datetime
) -> None:
    """Give a member one role until a time, in addition to those that they hold.

    Raises what `replace_roles` does, and RoleHeldLonger for a role that they hold as long.
    """
    refuse_held(member, role, until, change.now)
    held = ends_of(each for each in member.assignments if each.active(change.now))
    await replace_roles(change, member.user_id, member, {**held, role: until})


def refuse_held(member: Membership, role: RoleId, until: datetime | None, now: datetime) -> None:
    """Raise RoleHeldLonger for a role that is held until then or later; None stands for no end."""
    for assignment in member.assignments:
        if assignment.role != role or not assignment.active(now):
            continue
        end = assignment.expires_at
        if end is None or (until is not None and end >= until):
            how_long = f"until {end.astimezone(UTC).isoformat()}" if end else "without an end"
            raise RoleHeldLonger(user=member.user_id, role=role, until=how_long)


async def change_end(
    change: OrganizationChange, user: UserId, until: datetime | None, reason: str | None = None
) -> Membership:
    """Let a membership end at a time, or without an end; return the member.

    A later end gives all that the member holds, so nobody but an operator postpones the end of a member
    with a role that only operators give. Raises what `authorize_giving` does, UnknownMember and
    LastAdministrator.
    """
    member = await find_member(change.session, change.organization, user)
    before = member.expires_at if member else None
    gift = await _gift_of_end(change, member, until) if member else NO_GIFT
    target = await _target(change, user, member)
    member = await authorize_giving(change, "change_roles", gift, target)
    if until == before:
        return member
    if until is not None:
        await keep_one_administrator(change, member)
    member.expires_at = until
    details = MembershipEndChanged(before=before, after=until)
    await record(change, details, change.organization, user, reason)
    return member


async def suspend(
    change: OrganizationChange, user: UserId, reason: str | None = None
) -> Membership:
    """Take away everything that a member can do, and keep the roles for their return.

    Raises what `authorize_on` does, UnknownMember, LastAdministrator and AlreadySuspended.
    """
    member = await _authorized(change, "suspend", user)
    if member.suspended_at is None:
        await keep_one_administrator(change, member)
    member.suspend(change.now)
    await record(change, MemberSuspended(), change.organization, user, reason)
    return member


async def reactivate(
    change: OrganizationChange, user: UserId, reason: str | None = None
) -> Membership:
    """Give a suspended member everything back; the actor must hold all of it.

    The member gets back exactly what they hold as the target. So the check that the target is not above
    the actor is also the check that the actor holds what is given. Raises what `authorize_on` does,
    UnknownMember and NotSuspended.
    """
    member = await _authorized(change, "reactivate", user)
    member.reactivate()
    details = MemberReactivated(expires_at=member.expires_at)
    await record(change, details, change.organization, user, reason)
    return member


async def remove_member(
    change: OrganizationChange, user: UserId, reason: str | None = None
) -> None:
    """End a membership with everything that depends on it, and the member's sessions.

    Raises what `authorize_on` does, UnknownMember and LastAdministrator.
    """
    member = await _authorized(change, "remove", user)
    await _end(change, member)
    await record(change, MemberRemoved(roles=member.roles), change.organization, user, reason)


async def leave(change: OrganizationChange) -> None:
    """End the actor's own membership. That requires an active membership and no permission.

    Raises OnlyInPerson for a service account on behalf of a member: it may lack the permission to remove
    them. Raises UnknownOrganization, UnknownMember and LastAdministrator.
    """
    require_in_person(change)
    await require_membership(change)
    member = await get_member(change.session, change.organization, change.actor)
    await _end(change, member)
    await record(change, MemberLeft(roles=member.roles), change.organization, change.actor)


async def keep_one_administrator(change: OrganizationChange, member: Membership) -> None:
    """Raise LastAdministrator if the member is the last active administrator with no end date.

    Call it before the member loses the role. The organization's lock keeps two concurrent requests from
    each counting on the other's administrator. A service account does not count: nobody could sign in as
    it.
    """
    administrator = RoleId(change.catalog.administrator)
    if not member.holds_permanently(administrator) or member.user.is_service_account:
        return
    administrators = await change.session.scalars(
        select(RoleAssignment.user_id)
        .join(
            Membership,
            (Membership.organization_id == RoleAssignment.organization_id)
            & (Membership.user_id == RoleAssignment.user_id),
        )
        .join(Membership.user)
        .where(
            User.service_account_of.is_(None),
            RoleAssignment.organization_id == member.organization_id,
            RoleAssignment.role == administrator,
            RoleAssignment.expires_at.is_(None),
            Membership.suspended_at.is_(None),
            Membership.expires_at.is_(None),
        )
        .order_by(RoleAssignment.user_id != member.user_id)
        .limit(2)
    )
    if list(administrators) == [member.user_id]:
        raise LastAdministrator(user=member.user_id, organization=member.organization_id)


async def _authorized(change: OrganizationChange, operation: str, user: UserId) -> Membership:
    """Return the member, if the actor may do an operation to them that gives nothing new."""
    member = await find_member(change.session, change.organization, user)
    return await authorize_on(change, operation, await _target(change, user, member))


async def _target(
    change: OrganizationChange, user: UserId, member: Membership | None
) -> Target[Membership]:
    if member is None:
        return Target(None, UnknownMember(user=user, organization=change.organization))
    return await member_target(change, member)


async def _gift_of_end(
    change: OrganizationChange, member: Membership, until: datetime | None
) -> Gift:
    """Return what a membership with another end gives.

    The actions are the target's own, which the actor must hold in any case.
    """
    ends = [until] if until != member.expires_at else []
    if not is_later(until, member.expires_at):
        return Gift(ends=ends)
    role_set = await role_set_in(change, member.roles)
    return Gift(ends=ends, kept=member.roles, role_set=role_set)


async def _end(change: OrganizationChange, member: Membership) -> None:
    await keep_one_administrator(change, member)
    await end_memberships(change, member.organization_id, [member])
