"""A member's wish to be allowed something for a while."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.common.errors import Conflict
from teamaccess.storage.base import LOCAL_PATTERN, Base, OrganizationId, RequestId, RoleId, UserId

PENDING = "status = 'pending'"


class AccessRequestStatus(StrEnum):
    """What became of it."""

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
    """A role or an action that a member asks for, why, and for how long; and what was decided.

    It means no access: an approval is an assignment. The reasons' texts lie in `reasons`, erasable.
    """

    __tablename__ = "access_requests"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint("num_nonnulls(role, action) = 1", name="wanted"),
        CheckConstraint("hours > 0", name="hours"),
        CheckConstraint(
            "status IN ('pending', 'approved', 'declined', 'withdrawn')", name="status"
        ),
        CheckConstraint(f"({PENDING}) = (decided_at IS NULL)", name="decided_at"),
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
    """For how long from the approval on."""
    reason_hash: Mapped[bytes]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    status: Mapped[str] = mapped_column(server_default=AccessRequestStatus.PENDING)
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    """None where it was withdrawn because the membership or the role was no more."""
    decision_reason_hash: Mapped[bytes | None]
    granted_role: Mapped[RoleId | None]
    granted_until: Mapped[datetime | None]

    @property
    def duration(self) -> timedelta:
        """For how long."""
        return timedelta(hours=self.hours)

    def approve(self, by: UserId, at: datetime, role: RoleId, until: datetime) -> None:
        """Say what was given; only a pending one can be approved."""
        self._decide(AccessRequestStatus.APPROVED, by, at)
        self.granted_role, self.granted_until = role, until

    def decline(self, by: UserId, at: datetime) -> None:
        """Say that nothing is given."""
        self._decide(AccessRequestStatus.DECLINED, by, at)

    def withdraw(self, by: UserId | None, at: datetime) -> None:
        """Ask no more; nobody does that where the membership has ended."""
        self._decide(AccessRequestStatus.WITHDRAWN, by, at)

    def refuse_unless_pending(self, wanted: AccessRequestStatus) -> None:
        """Raise AccessRequestDecided if somebody has decided already."""
        if self.status != AccessRequestStatus.PENDING:
            raise AccessRequestDecided(request=self.id, status=self.status, wanted=wanted)

    def _decide(self, outcome: AccessRequestStatus, by: UserId | None, at: datetime) -> None:
        self.refuse_unless_pending(outcome)
        self.status, self.decided_by, self.decided_at = outcome, by, at
