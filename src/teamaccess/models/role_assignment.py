"""A role that a member holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.ids import ROLE_PATTERN, OrganizationId, RoleId, UserId
from teamaccess.models.source import IN_RANGE, Instant, RelationshipSource, is_held_by_a_user
from teamaccess.relationships import Relationship, organization, user


class RoleAssignment(RelationshipSource):
    """A role that a member holds, perhaps until a time. It ends with the membership."""

    __tablename__ = "role_assignments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        # `member` is what a membership stands for
        CheckConstraint(f"role ~ '{ROLE_PATTERN}' AND role <> 'member'", name="role"),
        CheckConstraint(IN_RANGE, name="expires_at"),
        Index("role_assignments_organization_id_role_idx", "organization_id", "role"),
        Index(
            "role_assignments_expires_at_idx",
            "expires_at",
            postgresql_where="expires_at IS NOT NULL",
        ),
    )

    resource_type: ClassVar[str] = "organization"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    role: Mapped[RoleId] = mapped_column(primary_key=True)
    granted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime | None]

    def relationships(self) -> Iterator[Relationship]:
        """Yield the role as a relation of the organization; SpiceDB itself ends it in time."""
        yield organization(self.organization_id).relates(
            self.role, user(self.user_id), until=self.expires_at
        )

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is somebody's role."""
        return relationship.relation in catalog.roles and is_held_by_a_user(relationship)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which assignments have come to their end by `at` and are still there."""
        return cls.expires_at <= at

    def active(self, at: datetime) -> bool:
        """Return whether the assignment has not ended by `at`."""
        return self.expires_at is None or self.expires_at > at
