"""Access requests of members."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.common.errors import Conflict
from teamaccess.storage.base import (
    LOCAL_PATTERN,
    Base,
    OrganizationId,
    RequestId,
    RoleId,
    UserId,
    times_in_calendar,
)

PENDING = "status = 'pending'"


class AccessRequestStatus(StrEnum):
    """The status of an access request."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class AccessRequestDecided(Conflict):
    """The request was approved, declined or withdrawn, so its status is final."""

    message = (
        "The access request {request} is {status}, so it can't be {wanted}. Make a new request."
    )


class AccessRequest(Base):
    """A member's request for a role or an action, with a reason and a duration, and its decision.

    It gives no access itself. An approval makes a role assignment. The texts of the reasons are in the
    table `reasons`, where they can be erased.
    """

    __tablename__ = "access_requests"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint("num_nonnulls(role, action) = 1", name="wanted"),
        CheckConstraint("hours > 0 AND hours <= 1000000", name="hours"),
        CheckConstraint(
            "status IN ('pending', 'approved', 'declined', 'withdrawn')", name="status"
        ),
        CheckConstraint(f"({PENDING}) = (decided_at IS NULL)", name="decided_at"),
        times_in_calendar("requested_at", "decided_at", "granted_until"),
        Index("access_requests_in_order_idx", "organization_id", "requested_at", "id"),
        Index("access_requests_user_id_idx", "organization_id", "user_id", "requested_at"),
        Index(
            "access_requests_one_open_role_key",
            *("organization_id", "user_id", "role"),
            unique=True,
            postgresql_where=PENDING,
        ),
        Index(
            "access_requests_one_open_action_key",
            *("organization_id", "user_id", "action"),
            unique=True,
            postgresql_where=PENDING,
        ),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[RequestId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    role: Mapped[RoleId | None]
    action: Mapped[str | None]
    hours: Mapped[int]
    """The requested duration in hours, counted from the approval."""
    reason_hash: Mapped[bytes]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    status: Mapped[str] = mapped_column(server_default=AccessRequestStatus.PENDING)
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    """The user who decided. None for a request withdrawn because the membership or the role ended."""
    decision_reason_hash: Mapped[bytes | None]
    granted_role: Mapped[RoleId | None]
    granted_until: Mapped[datetime | None]

    @property
    def duration(self) -> timedelta:
        """The requested duration, counted from the approval."""
        return timedelta(hours=self.hours)

    def approve(self, by: UserId, at: datetime, role: RoleId, until: datetime) -> None:
        """Approve the request. Raises AccessRequestDecided unless it is pending."""
        self._decide(AccessRequestStatus.APPROVED, by, at)
        self.granted_role, self.granted_until = role, until

    def decline(self, by: UserId, at: datetime) -> None:
        """Decline the request. Raises AccessRequestDecided unless it is pending."""
        self._decide(AccessRequestStatus.DECLINED, by, at)

    def withdraw(self, by: UserId | None, at: datetime) -> None:
        """Withdraw the request. `by` is None if the membership has ended.

        Raises AccessRequestDecided unless it is pending.
        """
        self._decide(AccessRequestStatus.WITHDRAWN, by, at)

    def refuse_unless_pending(self, wanted: AccessRequestStatus) -> None:
        """Raise AccessRequestDecided unless the request is pending."""
        if self.status != AccessRequestStatus.PENDING:
            raise AccessRequestDecided(request=self.id, status=self.status, wanted=wanted)

    def _decide(self, outcome: AccessRequestStatus, by: UserId | None, at: datetime) -> None:
        self.refuse_unless_pending(outcome)
        self.status, self.decided_by, self.decided_at = outcome, by, at
