"""Which role an approval gives: the one that was asked for, or one that allows the action."""

from sqlalchemy import select

from teamaccess.access.authorize import Gift, authorize, free_roles
from teamaccess.access.holdings import NO_TARGET, Holdings, RoleSet, role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.storage import AccessRequest, CustomRole, CustomRoleAction, RoleId


class OtherRoleAsked(Invalid):
    """The approval names another role than the requested one."""

    message = (
        "{role!r} is not the requested role, which is {asked}. Approve {asked}, or decline the "
        "request."
    )


class RoleNeeded(Invalid):
    """The request asks for an action, and the approval does not name the role that gives it."""

    message = "Name the `role` to give. These roles allow {action}, and you can give them: {roles}."


class NoRoleAllows(Conflict):
    """No role that the approver may give has the requested action."""

    message = (
        "None of the roles that you can give allows {action}. Create a role with it, or leave "
        "the request to somebody with more permissions."
    )


class RoleWithoutAction(Invalid):
    """The approval names a role that does not have the requested action."""

    message = "The role {role} does not allow {action}, which was requested. Name another role."


async def role_to_give(
    change: OrganizationChange, request: AccessRequest, role: RoleId | None
) -> RoleId:
    """Return the role that an approval gives: the one asked for, or `role` for a requested action.

    Raises OtherRoleAsked, UnknownRole, RoleWithoutAction, and without a `role` for an action RoleNeeded
    or NoRoleAllows.
    """
    if request.role is not None:
        if role not in (None, request.role):
            raise OtherRoleAsked(role=role, asked=request.role)
        return request.role
    if role is None:
        raise await _choice_of_roles(change, request)
    role_set = await role_set_in(change, [role])
    role_set.refuse_unknown([role])
    if request.action not in role_set.actions_of([role]):
        raise RoleWithoutAction(role=role, action=request.action)
    return role


async def _choice_of_roles(
    change: OrganizationChange, request: AccessRequest
) -> Invalid | Conflict:
    """Return the refusal that names the roles with the action that the actor may give."""
    action = request.action
    custom = await change.session.scalars(
        select(CustomRole)
        .join(CustomRole.allowed)
        .where(CustomRole.organization_id == change.organization, CustomRoleAction.action == action)
    )
    role_set = RoleSet(change.catalog, {role.id: role for role in custom})
    allowing = [
        *(RoleId(role.id) for role in change.catalog.roles.values() if action in role.actions),
        *sorted(role_set.custom),
    ]
    offered = Holdings(role_set, frozenset(allowing))
    held = await authorize(change, "change_roles", holding=offered.powers)
    free = await free_roles(change, held, Gift(offered), NO_TARGET)
    givable = [
        role
        for role in allowing
        if not role_set.beyond([role], held, free) and not role_set.operators_grant(role)
    ]
    if not givable:
        return NoRoleAllows(action=action)
    return RoleNeeded(action=action, roles=list(givable))
