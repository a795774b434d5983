"""Ask for a role or an action, for a while."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.access.giving import refuse_bad_end, refuse_operator_only
from teamaccess.access.role_set import role_set_of
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Forbidden
from teamaccess.directory.access_requests.limits import refuse_flood
from teamaccess.directory.members.assign import refuse_held
from teamaccess.directory.members.find import get_member
from teamaccess.directory.roles.selection import UnknownAction
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    OrganizationId,
    RequestId,
    RoleId,
    UserId,
    new_request_id,
)


class OperatorOnlyAction(Forbidden):
    """The action {action} cannot be granted here; ask whoever operates this service."""


class AlreadyRequested(Conflict):
    """You have asked for {wanted} already, {request}; withdraw that one first."""


@dataclass(frozen=True)
class AccessRequestInput:
    """What is asked for; a role or an action."""

    role: RoleId | None
    action: str | None
    hours: int
    reason: str


async def ask(
    change: Change, actor: UserId, organization: OrganizationId, wish: AccessRequestInput
) -> AccessRequest:
    """Write down what a member asks for; nothing is given by that.

    What nobody here could ever give is refused at once. Raises UnknownOrganization for who is no active
    member, UnknownRole, OperatorOnlyRole, RoleHeldLonger, UnknownAction, OperatorOnlyAction,
    EndTooFar, AlreadyRequested, TooManyOpenRequests and AskedTooOften.
    """
    held = await change.permitted(organization, actor, [MEMBERSHIP])
    require_held(held, organization, MEMBERSHIP)
    if wish.role is not None:
        await _refuse_role(change, actor, organization, wish.role)
    if wish.action is not None:
        _refuse_action(change, wish.action)
    refuse_bad_end(change.catalog, change.now + timedelta(hours=wish.hours), change.now)
    await _refuse_twice(change, actor, organization, wish)
    await refuse_flood(change, organization, actor)
    return await _write(change, actor, organization, wish)


async def _refuse_role(
    change: Change, actor: UserId, organization: OrganizationId, role: RoleId
) -> None:
    known = await role_set_of(change.session, change.catalog, organization, [role])
    known.refuse_unknown([role])
    refuse_operator_only(change, [role], known)
    member = await get_member(change.session, organization, actor)
    refuse_held(member, role, None, change.now)


def _refuse_action(change: Change, action: str) -> None:
    """Raise OperatorOnlyAction for what no custom role may hold and only operators' roles do."""
    known = change.catalog.actions.get(action)
    if known is None:
        raise UnknownAction(action=action)
    given_here = [
        each
        for each in change.catalog.roles.values()
        if action in each.actions and each.granted_by == "dashboard"
    ]
    if known.reserved and not given_here:
        raise OperatorOnlyAction(action=action)


async def _refuse_twice(
    change: Change, actor: UserId, organization: OrganizationId, wish: AccessRequestInput
) -> None:
    same = AccessRequest.role == wish.role if wish.role else AccessRequest.action == wish.action
    asked: RequestId | None = await change.session.scalar(
        select(AccessRequest.id).where(
            AccessRequest.organization_id == organization,
            AccessRequest.user_id == actor,
            AccessRequest.status == AccessRequestStatus.PENDING,
            same,
        )
    )
    if asked is not None:
        raise AlreadyRequested(wanted=wish.role or wish.action, request=asked)


async def _write(
    change: Change, actor: UserId, organization: OrganizationId, wish: AccessRequestInput
) -> AccessRequest:
    id = new_request_id()
    wanted = {"role": wish.role} if wish.role else {"action": wish.action}
    told = await record(
        change,
        "access_requested",
        organization,
        f"access_request:{id}",
        wish.reason,
        **wanted,
        hours=wish.hours,
    )
    assert told is not None  # noqa: S101 - there is a reason
    request = AccessRequest(
        organization_id=organization,
        id=id,
        user_id=actor,
        role=wish.role,
        action=wish.action,
        hours=wish.hours,
        reason_hash=told,
        requested_at=change.now,
        status=AccessRequestStatus.PENDING,
    )
    change.session.add(request)
    return request
