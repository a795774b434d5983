"""Which role an approval gives: the one that was asked for, or one that allows the action."""

from sqlalchemy import select

from teamaccess.access.authorize import authorize
from teamaccess.access.role_set import RoleSet, role_set_of
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.storage import AccessRequest, CustomRole, CustomRoleAction, RoleId, UserId


class OtherRoleAsked(Invalid):
    """{role!r} is not what was asked for, which is {asked}. Approve that, or decline."""


class RoleNeeded(Invalid):
    """Say which `role` to give. Of those that you may give, these allow {action}: {roles}."""


class NoRoleAllows(Conflict):
    """None of the roles that you may give allows {action}. Make a role with it, if you may, or leave this request to somebody who holds more."""  # noqa: E501 - a sentence is one line


class RoleWithoutAction(Invalid):
    """The role {role} does not allow {action}, which was asked for."""


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
