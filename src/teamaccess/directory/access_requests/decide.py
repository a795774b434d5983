"""Approve or decline what somebody else asks for."""

from datetime import timedelta

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import refuse_beyond
from teamaccess.access.role_set import role_set_of
from teamaccess.access.selves import is_either_self
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Forbidden, Invalid
from teamaccess.directory.access_requests.find import UnknownAccessRequest, find_request
from teamaccess.directory.access_requests.which_role import role_to_give
from teamaccess.directory.members.assign import give_role
from teamaccess.directory.members.find import find_member
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    Membership,
    OrganizationId,
    RequestId,
    RoleId,
    User,
    UserId,
)


class OwnAccessRequest(Forbidden):
    """Nobody decides on their own request; ask somebody else, or withdraw it."""


class PeopleDecide(Forbidden):
    """Requests are decided by people, in their own name or through a backend: a machine of the asker's own would be the asker."""  # noqa: E501 - a sentence is one line


class AskerInactive(Conflict):
    """{user} is no active member of {organization} at present, so nothing can be given to them."""


class LongerThanAsked(Invalid):
    """{hours} hours are more than the {asked} that were asked for."""


async def approve(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RequestId,
    hours: int | None = None,
    named: RoleId | None = None,
    reason: str | None = None,
) -> AccessRequest:
    """Give what was asked for from now on, for as long or shorter; return the request.

    It is giving like any other: raises what `members.assign.give_role` and `role_to_give` do,
    UnknownAccessRequest, OwnAccessRequest, PeopleDecide, AccessRequestDecided, AskerInactive and
    LongerThanAsked.
    """
    request = await _judged(change, actor, organization, id, AccessRequestStatus.APPROVED)
    member = await _asker(change, request)
    if hours is not None and hours > request.hours:
        raise LongerThanAsked(hours=hours, asked=request.hours)
    role = await role_to_give(change, actor, request, named)
    until = change.now + (timedelta(hours=hours) if hours is not None else request.duration)
    await give_role(change, actor, member, role, until)
    request.approve(actor, change.now, role, until)
    details = {"user": request.user_id, "role": role, "until": until.isoformat()}
    request.decision_reason_hash = await record(
        change, "access_approved", organization, f"access_request:{id}", reason, **details
    )
    return request


async def decline(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RequestId,
    reason: str | None = None,
) -> AccessRequest:
    """Give nothing; who decides that must be able to give it. Returns the request."""
    request = await _judged(change, actor, organization, id, AccessRequestStatus.DECLINED)
    request.decline(actor, change.now)
    request.decision_reason_hash = await record(
        change,
        "access_declined",
        organization,
        f"access_request:{id}",
        reason,
        user=request.user_id,
    )
    return request


async def _judged(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RequestId,
    wanted: AccessRequestStatus,
) -> AccessRequest:
    """Return the pending request if the actor may decide on it."""
    request = await find_request(change.session, organization, id)
    actions = await _asked_for(change, request) if request else frozenset()
    held = await authorize(change, actor, organization, "change_roles", holding=actions)
    if request is None:
        raise UnknownAccessRequest(request=id, organization=organization)
    if is_either_self(change, request.user_id):
        raise OwnAccessRequest
    if (await change.session.get_one(User, actor)).is_service_account:
        raise PeopleDecide
    refuse_beyond(actions, held)
    request.refuse_unless_pending(wanted)
    return request


async def _asked_for(change: Change, request: AccessRequest) -> frozenset[str]:
    """Return the actions that are asked for, as far as there still are such."""
    if request.role is None:
        return frozenset(change.catalog.actions.keys() & {request.action})
    known = await role_set_of(
        change.session, change.catalog, request.organization_id, [request.role]
    )
    return known.actions_of([request.role])


async def _asker(change: Change, request: AccessRequest) -> Membership:
    member = await find_member(change.session, request.organization_id, request.user_id)
    gone = member is None or (member.expires_at is not None and member.expires_at <= change.now)
    if member is None or gone or member.suspended_at is not None:
        raise AskerInactive(user=request.user_id, organization=request.organization_id)
    return member
