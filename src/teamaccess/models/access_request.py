"""A member's wish to be allowed something for a while."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import LOCAL_PATTERN, OrganizationId, RequestId, RoleId, UserId


class AccessRequestStatus(StrEnum):
    """What became of it."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class AccessRequest(Base):
    """A role or an action that a member asks for, why, and for how long; and what was decided.

    It means no access: an approval is an assignment. The reason's text lies in `reasons`, erasable.
    """

    __tablename__ = "access_requests"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint("num_nonnulls(role, action) = 1", name="wanted"),
        CheckConstraint("seconds > 0", name="seconds"),
        Index("access_requests_in_order_idx", "organization_id", "requested_at", "id"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[RequestId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    role: Mapped[RoleId | None]
    action: Mapped[str | None]
    seconds: Mapped[int]
    """For how long from the approval on."""
    reason_hash: Mapped[bytes]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    status: Mapped[str] = mapped_column(server_default=AccessRequestStatus.PENDING)
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    decision_reason_hash: Mapped[bytes | None]
    granted_role: Mapped[RoleId | None]
    granted_until: Mapped[datetime | None]

    @property
    def duration(self) -> timedelta:
        """For how long."""
        return timedelta(seconds=self.seconds)
