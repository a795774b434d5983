"""Give members roles and take them away, judged by the rules that hold on every path."""

from datetime import UTC, datetime

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import Ends, refuse_bad_end, refuse_beyond, refuse_operator_only
from teamaccess.access.holdings import actions_held
from teamaccess.access.member_rules import given, keep_one_administrator, refuse_above
from teamaccess.access.role_set import role_set_of
from teamaccess.access.selves import is_self
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict
from teamaccess.directory.members.find import UnknownMember, find_member
from teamaccess.storage import Membership, OrganizationId, RoleId, UserId


class RoleHeldLonger(Conflict):
    """{user} holds the role {role} already, {until}; what they hold is not shortened."""


async def replace_roles(
    change: Change, actor: UserId, organization: OrganizationId, user: UserId, roles: Ends
) -> Membership:
    """Have a member hold exactly these roles, if the actor may bring that about; return the member.

    Raises what `roles.rules` and `members.rules` say, UnknownRole and UnknownMember.
    """
    known = await role_set_of(change.session, change.catalog, organization, roles)
    member = await find_member(change.session, organization, user)
    theirs = await actions_held(change, member) if member else frozenset()
    new = given(member.assignments if member else (), roles, change.now)
    giving = known.actions_of(new)
    held = await authorize(change, actor, organization, "change_roles", holding=giving | theirs)
    known.refuse_unknown(roles)
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    before = {each.role: each.expires_at for each in member.assignments}
    for role, until in roles.items():
        if role not in before or until != before[role]:  # what stays as it is gives nothing
            refuse_bad_end(change.catalog, until, change.now)
    refuse_operator_only(change, new, known)
    refuse_beyond(giving, held)
    if not is_self(change, actor, user):
        refuse_above(member, theirs, held)
    if roles.get(RoleId(change.catalog.administrator), change.now) is not None:
        await keep_one_administrator(change, member)
    member.replace_roles(roles, change.now, custom=known.are_custom(roles))
    return member


async def give_role(
    change: Change, actor: UserId, member: Membership, role: RoleId, until: datetime
) -> None:
    """Give a member one role until a time, beside those that they hold.

    Raises what `replace_roles` does, and RoleHeldLonger for a role that they hold as long.
    """
    refuse_held(member, role, until, change.now)
    held = {each.role: each.expires_at for each in member.assignments if each.active(change.now)}
    organization, user = member.organization_id, member.user_id
    await replace_roles(change, actor, organization, user, {**held, role: until})


def refuse_held(member: Membership, role: RoleId, until: datetime | None, now: datetime) -> None:
    """Raise RoleHeldLonger for a role that is held until then or later; None: without an end."""
    for each in member.assignments:
        if each.role != role or not each.active(now):
            continue
        end = each.expires_at
        if end is None or (until is not None and end >= until):
            told = f"until {end.astimezone(UTC).isoformat()}" if end else "without an end"
            raise RoleHeldLonger(user=member.user_id, role=role, until=told)
