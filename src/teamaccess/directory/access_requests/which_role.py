"""Which role an approval gives: the one that was asked for, or one that allows the action."""

from sqlalchemy import select

from teamaccess.access.authorize import authorize
from teamaccess.access.role_set import RoleSet, role_set_of
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.storage import AccessRequest, CustomRole, CustomRoleAction, RoleId, UserId


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
    change: Change, actor: UserId, request: AccessRequest, named: RoleId | None
) -> RoleId:
    """Return the role that the approver gives; who names none for an action is told which there are.

    Raises OtherRoleAsked, UnknownRole, RoleWithoutAction, RoleNeeded and NoRoleAllows.
    """
    if request.role is not None:
        if named not in (None, request.role):
            raise OtherRoleAsked(role=named, asked=request.role)
        return request.role
    if named is None:
        raise await _there_are(change, actor, request)
    here = request.organization_id
    known = await role_set_of(change.session, change.catalog, here, [named])
    known.refuse_unknown([named])
    if request.action not in known.actions_of([named]):
        raise RoleWithoutAction(role=named, action=request.action)
    return named


async def _there_are(change: Change, actor: UserId, request: AccessRequest) -> Invalid | Conflict:
    here, action = request.organization_id, request.action
    own = await change.session.scalars(
        select(CustomRole)
        .join(CustomRole.allowed)
        .where(CustomRole.organization_id == here, CustomRoleAction.action == action)
    )
    known = RoleSet(change.catalog, {role.id: role for role in own})
    allowing = [
        *(RoleId(each.id) for each in change.catalog.roles.values() if action in each.actions),
        *sorted(known.own),
    ]
    held = await authorize(change, actor, here, "change_roles", holding=known.actions_of(allowing))
    mine = [
        role
        for role in allowing
        if known.actions_of([role]) <= held and not known.operators_grant(role)
    ]
    if not mine:
        return NoRoleAllows(action=action)
    return RoleNeeded(action=action, roles=list(mine))
