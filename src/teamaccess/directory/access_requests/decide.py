"""Approve or decline another member's request."""

from datetime import timedelta

from teamaccess.access.authorize import NO_GIFT, Gift, authorize_giving
from teamaccess.access.holdings import Holdings, Target, role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.members import AccessApproved, AccessDeclined
from teamaccess.common.errors import Conflict, Forbidden, Invalid, TeamaccessError
from teamaccess.directory.access_requests.find import UnknownAccessRequest, find_request
from teamaccess.directory.access_requests.which_role import role_to_give
from teamaccess.directory.members.act import give_role
from teamaccess.directory.members.find import find_member
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    Membership,
    RequestId,
    RoleId,
    User,
)


class OwnAccessRequest(Forbidden):
    """The caller decides on their own request."""

    message = "You can't decide on your own request. Ask somebody else, or withdraw it."


class PeopleDecide(Forbidden):
    """A service account decides in its own name.

    A requester could own it and so approve their own request.
    """

    message = (
        "Only a person can decide on a request: a service account can do it only on behalf of a"
        " member."
    )


class AskerInactive(Conflict):
    """The requester was suspended or removed after they made the request."""

    message = (
        "{user} is not an active member of {organization}, so they can't be given access. "
        "Reactivate them first."
    )


class LongerThanAsked(Invalid):
    """The approval gives more hours than requested."""

    message = "{hours:hour} are more than the {asked} that were requested. Give {asked} at most."


async def approve(
    change: OrganizationChange,
    id: RequestId,
    hours: int | None = None,
    role: RoleId | None = None,
    reason: str | None = None,
) -> AccessRequest:
    """Give the requested access from now on, for the requested or for fewer `hours`; return the request.

    The rules are those of any other giving. Raises what `give_role` and `role_to_give` do,
    UnknownAccessRequest, OwnAccessRequest, PeopleDecide, AccessRequestDecided, AskerInactive and
    LongerThanAsked.
    """
    request = await _authorized(change, id, AccessRequestStatus.APPROVED)
    member = await _active_asker(change, request)
    if hours is not None and hours > request.hours:
        raise LongerThanAsked(hours=hours, asked=request.hours)
    given = await role_to_give(change, request, role)
    until = change.now + (timedelta(hours=hours) if hours is not None else request.duration)
    await give_role(change, member, given, until)
    request.approve(change.actor, change.now, given, until)
    details = AccessApproved(user=request.user_id, role=given, until=until)
    request.decision_reason_hash = await record(change, details, change.organization, id, reason)
    return request


async def decline(
    change: OrganizationChange, id: RequestId, reason: str | None = None
) -> AccessRequest:
    """Decline the request and return it. This needs the same rights as an approval.

    Raises what `authorize_giving` does, UnknownAccessRequest, OwnAccessRequest, PeopleDecide and
    AccessRequestDecided.
    """
    request = await _authorized(change, id, AccessRequestStatus.DECLINED)
    request.decline(change.actor, change.now)
    request.decision_reason_hash = await record(
        change, AccessDeclined(user=request.user_id), change.organization, id, reason
    )
    return request


async def _authorized(
    change: OrganizationChange, id: RequestId, decision: AccessRequestStatus
) -> AccessRequest:
    """Return the pending request, if the actor may decide on it."""
    found = await find_request(change.session, change.organization, id)
    gift = await _gift_asked_for(change, found) if found else NO_GIFT
    target = Target(found, await _refusal(change, id, found))
    request = await authorize_giving(change, "change_roles", gift, target)
    request.refuse_unless_pending(decision)
    return request


async def _refusal(
    change: OrganizationChange, id: RequestId, request: AccessRequest | None
) -> TeamaccessError | None:
    """Return why the actor can never decide on the request, whatever they hold."""
    if request is None:
        return UnknownAccessRequest(request=id, organization=change.organization)
    asker = await change.session.get(User, request.user_id)
    if asker is not None and await change.is_oneself(asker):
        return OwnAccessRequest()
    decider = await change.session.get(User, change.actor)
    return PeopleDecide() if decider is not None and decider.is_service_account else None


async def _gift_asked_for(change: OrganizationChange, request: AccessRequest) -> Gift:
    """Return the requested gift: a role, or an action if the catalog still has it."""
    if request.role is None:
        return Gift(by_role_with=frozenset(change.catalog.actions.keys() & {request.action}))
    role_set = await role_set_in(change, [request.role])
    return Gift(Holdings(role_set, frozenset([request.role])))


async def _active_asker(change: OrganizationChange, request: AccessRequest) -> Membership:
    member = await find_member(change.session, change.organization, request.user_id)
    has_ended = (
        member is not None and member.expires_at is not None and member.expires_at <= change.now
    )
    if member is None or has_ended or member.suspended_at is not None:
        raise AskerInactive(user=request.user_id, organization=change.organization)
    return member
