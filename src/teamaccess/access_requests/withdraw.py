"""Ask no more, or not be a member any more who asks."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, select

from teamaccess.access_requests.find import UnknownAccessRequest, find_request
from teamaccess.events import record
from teamaccess.ledger import Change
from teamaccess.models import (
    AccessRequest,
    AccessRequestStatus,
    OrganizationId,
    RequestId,
    RoleId,
    UserId,
)
from teamaccess.organizations.access import MEMBERSHIP, refuse_unless
from teamaccess.users.selves import is_own


async def withdraw(
    change: Change, actor: UserId, organization: OrganizationId, id: RequestId
) -> AccessRequest:
    """Take back a request of one's own.

    Raises UnknownAccessRequest, also for somebody else's, and AccessRequestDecided.
    """
    refuse_unless(
        await change.permitted(organization, actor, [MEMBERSHIP]), organization, MEMBERSHIP
    )
    request = await find_request(change.session, organization, id)
    if request is None or not is_own(actor, request.user_id):
        raise UnknownAccessRequest(request=id, organization=organization)
    request.withdraw(actor, change.now)
    await _tell(change, request)
    return request


async def withdraw_with_membership(
    change: Change, organization: OrganizationId, users: Collection[UserId]
) -> None:
    """Withdraw what is asked by those whose membership ends: nobody can be given it any more."""
    await _withdraw(change, organization, AccessRequest.user_id.in_(users), "membership_ended")


async def withdraw_with_role(change: Change, organization: OrganizationId, role: RoleId) -> None:
    """Withdraw what asks for a role that is deleted; who asked may ask for another."""
    await _withdraw(change, organization, AccessRequest.role == role, "role_deleted")


async def _withdraw(
    change: Change, organization: OrganizationId, which: ColumnElement[bool], because: str
) -> None:
    asked = await change.session.scalars(
        select(AccessRequest)
        .where(
            AccessRequest.organization_id == organization,
            AccessRequest.status == AccessRequestStatus.PENDING,
            which,
        )
        .order_by(AccessRequest.requested_at, AccessRequest.id)
    )
    for request in asked:
        request.withdraw(None, change.now)
        await _tell(change, request, because=because)


async def _tell(change: Change, request: AccessRequest, **more: str) -> None:
    await record(
        change,
        "access_withdrawn",
        request.organization_id,
        f"access_request:{request.id}",
        user=request.user_id,
        **more,
    )
