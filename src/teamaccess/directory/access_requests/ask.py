"""Ask for a role or an action for a while, and take the request back."""

from dataclasses import dataclass
from datetime import timedelta

from msgspec import UNSET
from sqlalchemy import func, select

from teamaccess.access.authorize import refuse_bad_end, refuse_operator_only, require_membership
from teamaccess.access.holdings import role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.members import AccessRequested
from teamaccess.common.errors import Conflict, Forbidden, TooMany
from teamaccess.directory.access_requests.find import UnknownAccessRequest, find_request
from teamaccess.directory.members.act import refuse_held
from teamaccess.directory.members.find import get_member
from teamaccess.directory.roles.selection import UnknownAction
from teamaccess.directory.withdrawals import record_withdrawal
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    RequestId,
    RoleId,
    new_request_id,
)


class OperatorOnlyAction(Forbidden):
    """Only a role that operators give has the requested action."""

    message = "Only operators of this service can give the permission {action}. Ask one of them."


class AlreadyRequested(Conflict):
    """The requester has an open request for the same role or action."""

    message = "You already have an open request for {wanted} ({request}). Withdraw it first."


class TooManyOpenRequests(TooMany):
    """The member has as many open requests as the settings allow."""

    message = (
        "{user} has {open:open access request} in {organization}, which is the limit. Withdraw"
        " one, or wait for a decision."
    )


class AskedTooOften(TooMany):
    """The member has made as many requests within a day as the settings allow."""

    message = "{user} has reached the limit of access requests per day. Try again tomorrow."
    retry_after = 86_400


@dataclass(frozen=True)
class AccessRequestInput:
    """What a member asks for: a role or an action, for some hours."""

    role: RoleId | None
    action: str | None
    hours: int
    reason: str


async def ask(change: OrganizationChange, request: AccessRequestInput) -> AccessRequest:
    """Record the actor's request. It gives no access.

    A request that nobody in the organization could ever approve is refused at once. Raises
    UnknownOrganization, UnknownRole, OperatorOnlyRole, RoleHeldLonger, UnknownAction,
    OperatorOnlyAction, EndTooFar, AlreadyRequested, TooManyOpenRequests and AskedTooOften.
    """
    await require_membership(change)
    if request.role is not None:
        await _refuse_role(change, request.role)
    if request.action is not None:
        _refuse_action(change, request.action)
    refuse_bad_end(change.catalog, change.now + timedelta(hours=request.hours), change.now)
    await _refuse_twice(change, request)
    await _refuse_flood(change)
    return await _write(change, request)


async def withdraw(change: OrganizationChange, id: RequestId) -> AccessRequest:
    """Take back one of the actor's own requests.

    Raises UnknownOrganization, UnknownAccessRequest (also for another member's request) and
    AccessRequestDecided.
    """
    await require_membership(change)
    request = await find_request(change.session, change.organization, id)
    if request is None or not change.is_of(request.user_id):
        raise UnknownAccessRequest(request=id, organization=change.organization)
    request.withdraw(change.actor, change.now)
    await record_withdrawal(change, request)
    return request


async def _refuse_role(change: OrganizationChange, role: RoleId) -> None:
    role_set = await role_set_in(change, [role])
    role_set.refuse_unknown([role])
    refuse_operator_only(change, [role], role_set)
    member = await get_member(change.session, change.organization, change.actor)
    refuse_held(member, role, None, change.now)


def _refuse_action(change: OrganizationChange, id: str) -> None:
    """Raise OperatorOnlyAction for an action that only roles of operators allow."""
    action = change.catalog.actions.get(id)
    if action is None:
        raise UnknownAction(action=id)
    givable = [
        role
        for role in change.catalog.roles.values()
        if id in role.actions and role.granted_by == "dashboard"
    ]
    if action.reserved and not givable:
        raise OperatorOnlyAction(action=id)


async def _refuse_twice(change: OrganizationChange, request: AccessRequestInput) -> None:
    same_thing = (
        AccessRequest.role == request.role
        if request.role
        else AccessRequest.action == request.action
    )
    earlier: RequestId | None = await change.session.scalar(
        select(AccessRequest.id).where(
            AccessRequest.organization_id == change.organization,
            AccessRequest.user_id == change.actor,
            AccessRequest.status == AccessRequestStatus.PENDING,
            same_thing,
        )
    )
    if earlier is not None:
        raise AlreadyRequested(wanted=request.role or request.action, request=earlier)


async def _refuse_flood(change: OrganizationChange) -> None:
    """Raise TooManyOpenRequests or AskedTooOften if one more request is too many."""
    organization, user = change.organization, change.actor
    pending = AccessRequest.status == AccessRequestStatus.PENDING
    today = AccessRequest.requested_at > change.now - timedelta(days=1)
    counts = await change.session.execute(
        select(func.count().filter(pending), func.count().filter(today)).where(
            AccessRequest.organization_id == organization, AccessRequest.user_id == user
        )
    )
    open_now, within_day = counts.one()
    if open_now >= change.limits.open_access_requests:
        raise TooManyOpenRequests(user=user, organization=organization, open=open_now)
    if within_day >= change.limits.access_requests_a_day:
        raise AskedTooOften(user=user)


async def _write(change: OrganizationChange, request: AccessRequestInput) -> AccessRequest:
    id = new_request_id()
    details = AccessRequested(
        role=request.role or UNSET,
        action=UNSET if request.role else request.action or UNSET,
        hours=request.hours,
    )
    reason_hash = await record(change, details, change.organization, id, request.reason)
    assert reason_hash is not None  # noqa: S101 - there is a reason
    row = AccessRequest(
        organization_id=change.organization,
        id=id,
        user_id=change.actor,
        role=request.role,
        action=request.action,
        hours=request.hours,
        reason_hash=reason_hash,
        requested_at=change.now,
        status=AccessRequestStatus.PENDING,
    )
    change.session.add(row)
    return row
