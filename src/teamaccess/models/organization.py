"""A customer's team."""

from datetime import datetime

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import ORGANIZATION_PATTERN, OrganizationId


class Organization(Base):
    """A tenant. Its row stays for ever, so that its id is never used again."""

    __tablename__ = "organizations"
    __table_args__ = (CheckConstraint(f"id ~ '{ORGANIZATION_PATTERN}'", name="id"),)

    id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    deleted_at: Mapped[datetime | None]

    def rename(self, name: str) -> None:
        """Give it another display name; its id never changes."""
        self.name = name

    def end(self, at: datetime) -> None:
        """Close it for ever."""
        self.deleted_at = at
