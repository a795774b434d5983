"""A user's place in an organization, and when they were last active there."""

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
    """When a member last used an organization, to the minute; no part of any decision."""

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
    """{user} is already suspended in {organization}."""


class NotSuspended(Conflict):
    """{user} is not suspended in {organization}, so there is nothing to reactivate."""


class MembershipStatus(StrEnum):
    """Whether a member can do anything at present."""

    ACTIVE = "active"
    SUSPENDED = "suspended"

    @classmethod
    def since(cls, suspended_at: datetime | None) -> "MembershipStatus":
        """Return the status of who was suspended then, or is not."""
        return cls.ACTIVE if suspended_at is None else cls.SUSPENDED


class Membership(RelationshipSource):
    """A user's place in one organization.

    Every permission of the organization passes through `member`: deleting that one relationship ends
    every path to every action at once.
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
        """Return a new active membership that holds the roles without an end.

        Those that are `custom` are the organization's own.
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
        """Yield the gate, while the member is not suspended; SpiceDB itself ends it in time."""
        if self.suspended_at is None:
            yield organization(self.organization_id).relates(
                "member", user(self.user_id), until=self.expires_at
            )

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is the gate for somebody."""
        return relationship.relation == "member" and is_held_by_a_user(relationship)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which memberships have come to their end by `at` and are still there."""
        return cls.expires_at <= at

    @property
    def status(self) -> MembershipStatus:
        """Whether the member can do anything at present."""
        return MembershipStatus.since(self.suspended_at)

    @property
    def roles(self) -> list[RoleId]:
        """Every role assigned, also those whose end has passed and that nobody has swept yet."""
        return sorted(assignment.role for assignment in self.assignments)

    def holds_permanently(self, role: RoleId) -> bool:
        """Whether an active member holds the role without an end, the membership's own included."""
        return (
            self.suspended_at is None
            and self.expires_at is None
            and any(each.role == role and each.expires_at is None for each in self.assignments)
        )

    def suspend(self, at: datetime) -> None:
        """Take away everything, keeping the roles for their return."""
        if self.suspended_at is not None:
            raise AlreadySuspended(user=self.user_id, organization=self.organization_id)
        self.suspended_at = at

    def reactivate(self) -> None:
        """Give everything back."""
        if self.suspended_at is None:
            raise NotSuspended(user=self.user_id, organization=self.organization_id)
        self.suspended_at = None

    def remove_expired_roles(self, at: datetime) -> list[RoleAssignment]:
        """Hold no role any more whose end has come; return the assignments that are no more."""
        ended = [each for each in self.assignments if not each.active(at)]
        self.assignments = [each for each in self.assignments if each.active(at)]
        return ended

    def replace_roles(
        self,
        roles: Mapping[RoleId, datetime | None],
        at: datetime,
        custom: Collection[RoleId] = (),
    ) -> None:
        """Hold exactly these roles; an assignment that stays keeps since when it is held.

        Those that are `custom` are the organization's own.
        """
        self.assignments = rows_for_roles(
            self.assignments,
            roles,
            lambda role: RoleAssignment(role=role, custom=role in custom, granted_at=at),
        )
