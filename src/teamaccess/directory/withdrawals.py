"""Withdraw the access requests that a removed member or a deleted role leaves behind."""

from collections.abc import Collection

from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, select

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.members import AccessWithdrawn
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    OrganizationId,
    RoleId,
    UserId,
)


async def withdraw_with_membership(
    change: Change, organization: OrganizationId, users: Collection[UserId]
) -> None:
    """Withdraw the requests of users whose membership ends: nothing can be given to them any more."""
    await _withdraw(change, organization, AccessRequest.user_id.in_(users), "membership_ended")


async def withdraw_with_role(change: Change, organization: OrganizationId, role: RoleId) -> None:
    """Withdraw the requests for a role that is deleted; the members may ask for another one."""
    await _withdraw(change, organization, AccessRequest.role == role, "role_deleted")


async def _withdraw(
    change: Change, organization: OrganizationId, condition: ColumnElement[bool], because: str
) -> None:
    requests = await change.session.scalars(
        select(AccessRequest)
        .where(
            AccessRequest.organization_id == organization,
            AccessRequest.status == AccessRequestStatus.PENDING,
            condition,
        )
        .order_by(AccessRequest.requested_at, AccessRequest.id)
    )
    for request in requests:
        request.withdraw(None, change.now)
        await record_withdrawal(change, request, because=because)


async def record_withdrawal(
    change: Change, request: AccessRequest, because: str | UnsetType = UNSET
) -> None:
    """Record the event of a withdrawn request."""
    await record(
        change,
        AccessWithdrawn(user=request.user_id, because=because),
        request.organization_id,
        request.id,
    )
