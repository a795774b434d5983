"""A member's place in a team."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.ids import OrganizationId, TeamId, UserId
from teamaccess.models.source import (
    IN_RANGE,
    Instant,
    RelationshipSource,
    is_user,
    local_id,
    tenant_of,
)
from teamaccess.relationships import Relationship, team, user


class TeamMembership(RelationshipSource):
    """A member's place in a team, perhaps until a time. It ends with the membership and the team."""

    __tablename__ = "team_memberships"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="team_memberships_team_id_fkey",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name="team_memberships_user_id_fkey",
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        CheckConstraint(IN_RANGE, name="expires_at"),
        Index("team_memberships_user_id_idx", "organization_id", "user_id"),
        Index(
            "team_memberships_expires_at_idx",
            "expires_at",
            postgresql_where="expires_at IS NOT NULL",
        ),
    )

    resource_type: ClassVar[str] = "team"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    team_id: Mapped[TeamId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    joined_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime | None]

    def relationships(self) -> Iterator[Relationship]:
        """Yield the place in the team; SpiceDB itself ends it in time."""
        yield team(self.organization_id, self.team_id).relates(
            "member", user(self.user_id), until=self.expires_at
        )

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is somebody's place in a team."""
        resource = relationship.resource
        return (
            resource.type == cls.resource_type
            and local_id(resource, tenant_of(resource)) is not None
            and relationship.relation == "member"
            and is_user(relationship.subject)
        )

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which places have come to their end by `at` and are still there."""
        return cls.expires_at <= at

    def active(self, at: datetime) -> bool:
        """Return whether it has not ended by `at`."""
        return self.expires_at is None or self.expires_at > at
