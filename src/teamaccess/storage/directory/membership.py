"""Memberships, the roles that members hold, and when members were last active."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    false,
    func,
    not_,
    true,
)
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    SubjectReference,
    organization,
    role,
    user,
)
from teamaccess.storage.base import (
    IN_RANGE,
    ROLE_PATTERN,
    Base,
    Instant,
    OrganizationId,
    RelationshipSource,
    RoleId,
    UserId,
    is_held_by_a_user,
    is_organization_id,
    is_role_id,
    is_user,
    local_id,
    tenant_of,
)
from teamaccess.storage.directory.user import User


class HeldRole:
    """What rows have in common that give a role to somebody, perhaps until a time."""

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True, sort_order=-3)
    role: Mapped[RoleId] = mapped_column(primary_key=True, sort_order=-1)
    custom: Mapped[bool] = mapped_column(server_default="false", default=False)
    """Whether it is one of the organization's own, so that it is no relation of the schema's."""
    expires_at: Mapped[datetime | None]

    @declared_attr
    def custom_role(cls) -> Mapped[RoleId | None]:  # noqa: N805 - SQLAlchemy calls it with the class
        """The role where it is the organization's own, for the reference to it."""
        own = Computed("CASE WHEN custom THEN role ELSE NULL::text END", persisted=True)
        return mapped_column(own, deferred=True)

    @staticmethod
    def constraints(table: str) -> tuple[Any, ...]:
        """Return what holds in every such table."""
        return (
            ForeignKeyConstraint(
                ["organization_id", "custom_role"],
                ["custom_roles.organization_id", "custom_roles.id"],
                name=f"{table}_custom_role_fkey",
            ),
            # `member` is what a membership stands for
            CheckConstraint(f"role ~ '{ROLE_PATTERN}' AND role <> 'member'", name="role"),
            CheckConstraint(IN_RANGE, name="expires_at"),
            Index(f"{table}_organization_id_role_idx", "organization_id", "role"),
            Index(
                f"{table}_expires_at_idx", "expires_at", postgresql_where="expires_at IS NOT NULL"
            ),
        )

    def active(self, at: datetime) -> bool:
        """Return whether it has not ended by `at`."""
        return self.expires_at is None or self.expires_at > at


Row = TypeVar("Row", bound=HeldRole)


def held_rows(
    held: Iterable[Row], roles: Mapping[RoleId, datetime | None], new: Callable[[RoleId], Row]
) -> list[Row]:
    """Return rows for these roles with their ends; one that was held keeps its row, and since when."""
    kept = {row.role: row for row in held if row.role in roles}
    for wanted, until in roles.items():
        row = kept.get(wanted) or kept.setdefault(wanted, new(wanted))
        row.expires_at = until
    return list(kept.values())


def holding(row: HeldRole, holder: ObjectReference | SubjectReference) -> Iterator[Relationship]:
    """Yield that the holder has the row's role; SpiceDB itself ends it in time."""
    if row.custom:
        mine = role(row.organization_id, row.role)
        yield mine.relates("member", holder, until=row.expires_at)
    else:
        everywhere = organization(row.organization_id)
        yield everywhere.relates(row.role, holder, until=row.expires_at)


def rows_about(table: type[HeldRole], resource_type: str) -> ColumnElement[bool]:
    """Return which of a table's rows stand for relationships of such resources."""
    about = {"organization": not_(table.custom), "role": table.custom == true()}
    return about.get(resource_type, false())


def role_held(relationship: Relationship) -> tuple[str, str, bool] | None:
    """Return organization, role and whether it is the organization's own; None where it is no role."""
    resource, relation = relationship.resource, relationship.relation
    if resource.type == "organization" and is_organization_id(resource.id):
        return resource.id, relation, False
    if resource.type == "role" and relation == "member":
        tenant = tenant_of(resource)
        name = local_id(resource, tenant)
        if name is not None and is_role_id(name):
            return tenant, name, True
    return None


class RoleAssignment(HeldRole, RelationshipSource):
    """A role that a member holds, perhaps until a time. It ends with the membership."""

    __tablename__ = "role_assignments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        *HeldRole.constraints("role_assignments"),
    )

    resource_type: ClassVar[str] = "organization"

    user_id: Mapped[UserId] = mapped_column(primary_key=True, sort_order=-2)
    granted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    def relationships(self) -> Iterator[Relationship]:
        """Yield that the member has the role."""
        yield from holding(self, user(self.user_id))

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is somebody's role."""
        held = role_held(relationship)
        if held is None or not is_user(relationship.subject):
            return False
        _, role, custom = held
        return custom or role in catalog.roles

    @classmethod
    def about(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources."""
        return rows_about(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which assignments have come to their end by `at` and are still there."""
        return cls.expires_at <= at


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
    """The member is suspended already."""

    message = "{user} is already suspended in {organization}."


class NotSuspended(Conflict):
    """The member is not suspended, so they cannot be reactivated."""

    message = "{user} is not suspended in {organization}, so they can't be reactivated."


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
        CheckConstraint(IN_RANGE, name="expires_at"),
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
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
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

    def lasting_role(self, role: RoleId) -> bool:
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

    def end_what_has_ended(self, at: datetime) -> list[RoleAssignment]:
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
        self.assignments = held_rows(
            self.assignments,
            roles,
            lambda role: RoleAssignment(role=role, custom=role in custom, granted_at=at),
        )
