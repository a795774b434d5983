"""Access requests of members, and the decisions about them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.storage import AccessRequest
from teamaccess.views.request import Reason, Request, RoleReference

ActionName = Annotated[str, Meta(min_length=1, max_length=64)]
Hours = Annotated[int, Meta(ge=1, le=100 * 366 * 24)]
"""Only a technical limit. The catalog has a lower one."""


class NewAccessRequest(Request):
    """A request for a role or an action."""

    reason: Reason
    duration_hours: Hours
    role: RoleReference | None = None
    action: ActionName | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, unless exactly one of them is given."""
        if (self.role is None) == (self.action is None):
            raise ValueError("Ask for a role or for an action")


class Approval(Request):
    """An approval. Its fields replace what was requested."""

    duration_hours: Hours | None = None
    role: RoleReference | None = None
    reason: Reason | None = None


class Refusal(Request):
    """A refusal, with an optional reason."""

    reason: Reason | None = None


class AccessRequestView(msgspec.Struct):
    """An access request and the decision about it."""

    id: str
    user: str
    role: str | None
    action: str | None
    duration_hours: int
    reason: str | None
    """None after it was erased."""
    status: str
    requested_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    decision_reason: str | None
    granted_role: str | None
    granted_until: datetime | None

    @classmethod
    def of(cls, request: AccessRequest, reasons: Mapping[bytes, str]) -> "AccessRequestView":
        """Return the view of a request. `reasons` are texts by their hashes."""
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
