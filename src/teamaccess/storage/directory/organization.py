"""Organizations."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import (
    ORGANIZATION_PATTERN,
    Base,
    OrganizationId,
    UserId,
    times_in_calendar,
)


class Organization(Base):
    """One customer company. Its row stays forever, so that its id is not reused."""

    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint(f"id ~ '{ORGANIZATION_PATTERN}'", name="id"),
        times_in_calendar("created_at", "deleted_at"),
        Index(
            "organizations_founded_by_idx",
            "founded_by",
            "created_at",
            postgresql_where="founded_by IS NOT NULL",
        ),
    )

    id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]
    founded_by: Mapped[UserId | None]
    """The user who created it, None for an operator. There is no foreign key, because users refer to
    organizations too. Users are never deleted, so none is needed."""

    def rename(self, name: str) -> None:
        """Change the display name. The id never changes."""
        self.name = name

    def end(self, at: datetime) -> None:
        """End the organization for good."""
        self.deleted_at = at
