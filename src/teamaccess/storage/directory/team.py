"""Teams, their members and their roles."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.relationships import Relationship, SubjectReference, team, user
from teamaccess.storage.base import (
    IN_RANGE,
    LOCAL_PATTERN,
    Base,
    Instant,
    OrganizationId,
    RelationshipSource,
    RoleId,
    TeamId,
    UserId,
    is_team,
    is_user,
    local_id,
    tenant_of,
)
from teamaccess.storage.directory.membership import (
    HeldRole,
    held_rows,
    holding,
    role_held,
    rows_about,
)


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


class TeamRole(HeldRole, RelationshipSource):
    """A role that everybody in a team has, perhaps until a time."""

    __tablename__ = "team_roles"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="team_roles_team_id_fkey",
            ondelete="CASCADE",
        ),
        *HeldRole.constraints("team_roles"),
    )

    resource_type: ClassVar[str] = "organization"

    team_id: Mapped[TeamId] = mapped_column(primary_key=True, sort_order=-2)
    granted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    def relationships(self) -> Iterator[Relationship]:
        """Yield that whoever is in the team has the role."""
        yield from holding(
            self, SubjectReference(team(self.organization_id, self.team_id), "member")
        )

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is a team's role, of those that teams may hold."""
        held = role_held(relationship)
        if held is None:
            return False
        organization, role, custom = held
        allowed = custom or (role in catalog.roles and catalog.roles[role].teams)
        return allowed and is_team(relationship.subject, organization)

    @classmethod
    def about(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources."""
        return rows_about(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which of them have come to their end by `at` and are still there."""
        return cls.expires_at <= at


class Team(Base):
    """A name for some members of one organization; who is in it and what it holds are rows."""

    __tablename__ = "teams"
    __table_args__ = (CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[TeamId] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    members: Mapped[list[TeamMembership]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )
    roles: Mapped[list[TeamRole]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True, order_by=TeamRole.role
    )

    def replace_roles(
        self,
        roles: Mapping[RoleId, datetime | None],
        at: datetime,
        custom: Collection[RoleId] = (),
    ) -> None:
        """Hold exactly these roles; those that are `custom` are the organization's own."""
        self.roles = held_rows(
            self.roles,
            roles,
            lambda role: TeamRole(role=role, custom=role in custom, granted_at=at),
        )
