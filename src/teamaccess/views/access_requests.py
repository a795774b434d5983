"""What members ask for, and what is decided."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.storage import AccessRequest
from teamaccess.views.request import Reason, Request, RoleName

ActionName = Annotated[str, Meta(min_length=1, max_length=64)]
Hours = Annotated[int, Meta(ge=1, le=100 * 366 * 24)]
"""The catalog's longest time is shorter."""


class NewAccessRequest(Request):
    """Something to ask for: a role or an action."""

    reason: Reason
    duration_hours: Hours
    role: RoleName | None = None
    action: ActionName | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in the body, unless it is one of them."""
        if (self.role is None) == (self.action is None):
            raise ValueError("Ask for a role or for an action")


class Approval(Request):
    """What is given, where it is not just what was asked for."""

    duration_hours: Hours | None = None
    role: RoleName | None = None
    reason: Reason | None = None


class Refusal(Request):
    """Why nothing is given."""

    reason: Reason | None = None


class AccessRequestView(msgspec.Struct):
    """What somebody asks for, and what was decided."""

    id: str
    user: str
    role: str | None
    action: str | None
    duration_hours: int
    reason: str | None
    """None once it is erased."""
    status: str
    requested_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    granted_role: str | None
    granted_until: datetime | None

    @classmethod
    def of(cls, request: AccessRequest, reasons: Mapping[bytes, str]) -> "AccessRequestView":
        """Return the request as it is shown."""
        decision = request.decision_reason_hash
        return cls(
            id=request.id,
            user=request.user_id,
            role=request.role,
            action=request.action,
            duration_hours=request.hours,
            reason=reasons.get(request.reason_hash),
            status=request.status,
            requested_at=request.requested_at,
            decided_at=request.decided_at,
            decided_by=request.decided_by,
            decision_reason=reasons.get(decision) if decision is not None else None,
            granted_role=request.granted_role,
            granted_until=request.granted_until,
        )
