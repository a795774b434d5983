"""Teams, their members and their roles."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.relationships import Relationship, SubjectReference, team, user
from teamaccess.storage.base import (
    EXPIRATION_IN_RANGE,
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
    times_in_calendar,
)
from teamaccess.storage.directory.membership import (
    HeldRole,
    held_rows,
    parse_role_relationship,
    role_relationship,
    rows_of_resource_type,
)


class TeamMembership(RelationshipSource):
    """A member's place in a team, perhaps with an end. It ends with the membership or the team."""

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
        CheckConstraint(EXPIRATION_IN_RANGE, name="expires_at"),
        times_in_calendar("joined_at", "expires_at"),
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
        """Yield the relationship of the place. SpiceDB ends it when it expires."""
        yield team(self.organization_id, self.team_id).relates(
            "member", user(self.user_id), until=self.expires_at
        )

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it is a user's place in a team."""
        resource = relationship.resource
        return (
            resource.type == cls.resource_type
            and local_id(resource, tenant_of(resource)) is not None
            and relationship.relation == "member"
            and is_user(relationship.subject)
        )

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for places that have expired by `at`."""
        return cls.expires_at <= at

    def active(self, at: datetime) -> bool:
        """Return whether the place has not expired at that time."""
        return self.expires_at is None or self.expires_at > at


class TeamRole(HeldRole, RelationshipSource):
    """A role that all members of a team hold, perhaps with an end."""

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
        """Yield the relationship that gives the role to the team's members."""
        yield from role_relationship(
            self, SubjectReference(team(self.organization_id, self.team_id), "member")
        )

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it gives a role to a team, and the role is one that teams may hold."""
        held = parse_role_relationship(relationship)
        if held is None:
            return False
        organization, role, custom = held
        allowed = custom or (role in catalog.roles and catalog.roles[role].teams)
        return allowed and is_team(relationship.subject, organization)

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Return the condition for rows with relationships of this resource type."""
        return rows_of_resource_type(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for team roles that have expired by `at`."""
        return cls.expires_at <= at


class Team(Base):
    """A group of members of one organization. Its members and roles are rows of their own."""

    __tablename__ = "teams"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        times_in_calendar("created_at"),
    )

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
        """Hold exactly these roles, each with its end. A role that stays keeps `granted_at`.

        `custom` names the custom roles among them.
        """
        self.roles = held_rows(
            self.roles,
            roles,
            lambda role: TeamRole(role=role, custom=role in custom, granted_at=at),
        )
