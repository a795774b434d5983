"""Memberships, and when members were last active."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, ForeignKeyConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.relationships import Relationship, organization, user
from teamaccess.storage.base import Base
from teamaccess.storage.directory.held_role import RoleAssignment, rows_for_roles
from teamaccess.storage.directory.user import User
from teamaccess.storage.ids import OrganizationId, RoleId, UserId
from teamaccess.storage.source import (
    EXPIRATION_IN_RANGE,
    Instant,
    RelationshipSource,
    is_held_by_a_user,
)


class Activity(Base):
    """When a member last used an organization, to the minute. No decision depends on it."""

    __tablename__ = "activity"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(primary_key=True)
    last_active_at: Mapped[datetime]


class AlreadySuspended(Conflict):
    """The member is suspended already."""

    message = "{user} is already suspended in {organization}."


class NotSuspended(Conflict):
    """The member is not suspended, so they cannot be reactivated."""

    message = "{user} is not suspended in {organization}, so they can't be reactivated."


class MembershipStatus(StrEnum):
    """Whether a member is active or suspended."""

    ACTIVE = "active"
    SUSPENDED = "suspended"

    @classmethod
    def of(cls, suspended_at: datetime | None) -> "MembershipStatus":
        """Return the status of a member, given the time of the suspension, if any."""
        return cls.ACTIVE if suspended_at is None else cls.SUSPENDED


class Membership(RelationshipSource):
    """A user's place in one organization.

    Every permission of the organization requires the relationship `member`, the membership gate. So
    deleting this one relationship takes away all access at once.
    """

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint(EXPIRATION_IN_RANGE, name="expires_at"),
        Index("memberships_user_id_idx", "user_id"),
        Index("memberships_in_order_idx", "organization_id", "joined_at", "user_id"),
        Index(
            "memberships_expires_at_idx", "expires_at", postgresql_where="expires_at IS NOT NULL"
        ),
    )

    resource_type: ClassVar[str] = "organization"

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), primary_key=True)
    joined_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    suspended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

    user: Mapped[User] = relationship(lazy="raise")
    activity: Mapped[Activity | None] = relationship(lazy="raise", viewonly=True)
    assignments: Mapped[list[RoleAssignment]] = relationship(
        lazy="raise",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by=RoleAssignment.role,
    )

    @classmethod
    def begin(
        cls,
        organization_id: OrganizationId,
        user: User,
        roles: Iterable[RoleId],
        at: datetime,
        custom: Collection[RoleId] = (),
    ) -> Self:
        """Return a new active membership with the roles, all without an end.

        `custom` names the custom roles among them.
        """
        return cls(
            organization_id=organization_id,
            user_id=user.id,
            joined_at=at,
            suspended_at=None,
            user=user,
            assignments=[
                RoleAssignment(role=role, custom=role in custom, granted_at=at, expires_at=None)
                for role in roles
            ],
        )

    def relationships(self) -> Iterator[Relationship]:
        """Yield the membership gate while the member is not suspended. SpiceDB ends it in time."""
        if self.suspended_at is None:
            yield organization(self.organization_id).relates(
                "member", user(self.user_id), until=self.expires_at
            )

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it is a membership gate of a user."""
        return relationship.relation == "member" and is_held_by_a_user(relationship)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for memberships that have expired by `at`."""
        return cls.expires_at <= at

    @property
    def status(self) -> MembershipStatus:
        """Whether the member is active or suspended."""
        return MembershipStatus.of(self.suspended_at)

    @property
    def roles(self) -> list[RoleId]:
        """The ids of all assigned roles, including expired ones that the sweeper has not ended yet."""
        return sorted(assignment.role for assignment in self.assignments)

    def holds_permanently(self, role: RoleId) -> bool:
        """Return whether the member is active and neither the membership nor the role has an end."""
        return (
            self.suspended_at is None
            and self.expires_at is None
            and any(held.role == role and held.expires_at is None for held in self.assignments)
        )

    def suspend(self, at: datetime) -> None:
        """Take away all access. The roles stay for the member's return. Raises AlreadySuspended."""
        if self.suspended_at is not None:
            raise AlreadySuspended(user=self.user_id, organization=self.organization_id)
        self.suspended_at = at

    def reactivate(self) -> None:
        """Give the access back. Raises NotSuspended."""
        if self.suspended_at is None:
            raise NotSuspended(user=self.user_id, organization=self.organization_id)
        self.suspended_at = None

    def remove_expired_roles(self, at: datetime) -> list[RoleAssignment]:
        """Remove the role assignments that have expired by `at`, and return them."""
        expired = [held for held in self.assignments if not held.active(at)]
        self.assignments = [held for held in self.assignments if held.active(at)]
        return expired

    def replace_roles(
        self,
        roles: Mapping[RoleId, datetime | None],
        at: datetime,
        custom: Collection[RoleId] = (),
    ) -> None:
        """Hold exactly these roles, each with its end. An assignment that stays keeps `granted_at`.

        `custom` names the custom roles among them.
        """
        self.assignments = rows_for_roles(
            self.assignments,
            roles,
            lambda role: RoleAssignment(role=role, custom=role in custom, granted_at=at),
        )
