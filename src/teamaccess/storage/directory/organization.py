"""A customer's team."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import ORGANIZATION_PATTERN, Base, OrganizationId, UserId


class Organization(Base):
    """A tenant. Its row stays for ever, so that its id is never used again."""

    __tablename__ = "organizations"
    __table_args__ = (
        CheckConstraint(f"id ~ '{ORGANIZATION_PATTERN}'", name="id"),
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
    """The person who created it; None for an operator. Users are never deleted, and a foreign key would
    make organizations and users depend on each other."""

    def rename(self, name: str) -> None:
        """Give it another display name; its id never changes."""
        self.name = name

    def end(self, at: datetime) -> None:
        """Close it for ever."""
        self.deleted_at = at
