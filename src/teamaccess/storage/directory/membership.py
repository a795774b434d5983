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
    EXPIRATION_IN_RANGE,
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
    times_in_calendar,
)
from teamaccess.storage.directory.user import User


class HeldRole:
    """The columns and rules of rows that give a role to a holder, perhaps with an end."""

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True, sort_order=-3)
    role: Mapped[RoleId] = mapped_column(primary_key=True, sort_order=-1)
    custom: Mapped[bool] = mapped_column(server_default="false", default=False)
    """Whether it is a custom role. A predefined role is a relation of the schema instead."""
    expires_at: Mapped[datetime | None]

    @declared_attr
    def custom_role(cls) -> Mapped[RoleId | None]:  # noqa: N805 - SQLAlchemy calls it with the class
        """The role if it is a custom role, for the foreign key."""
        role_if_custom = Computed("CASE WHEN custom THEN role ELSE NULL::text END", persisted=True)
        return mapped_column(role_if_custom, deferred=True)

    @staticmethod
    def constraints(table: str) -> tuple[Any, ...]:
        """Return the constraints and indexes of every such table."""
        return (
            ForeignKeyConstraint(
                ["organization_id", "custom_role"],
                ["custom_roles.organization_id", "custom_roles.id"],
                name=f"{table}_custom_role_fkey",
            ),
            # `member` is the relation of memberships
            CheckConstraint(f"role ~ '{ROLE_PATTERN}' AND role <> 'member'", name="role"),
            CheckConstraint(EXPIRATION_IN_RANGE, name="expires_at"),
            times_in_calendar("granted_at", "expires_at"),
            Index(f"{table}_organization_id_role_idx", "organization_id", "role"),
            Index(
                f"{table}_expires_at_idx", "expires_at", postgresql_where="expires_at IS NOT NULL"
            ),
        )

    def active(self, at: datetime) -> bool:
        """Return whether the role has not expired at that time."""
        return self.expires_at is None or self.expires_at > at


Row = TypeVar("Row", bound=HeldRole)


def held_rows(
    held: Iterable[Row], roles: Mapping[RoleId, datetime | None], new: Callable[[RoleId], Row]
) -> list[Row]:
    """Return rows for exactly these roles, each with its end. `new` makes the row of a role.

    A role that is held already keeps its row, so that `granted_at` stays.
    """
    rows = {row.role: row for row in held if row.role in roles}
    for role_id, expires_at in roles.items():
        row = rows.get(role_id) or rows.setdefault(role_id, new(role_id))
        row.expires_at = expires_at
    return list(rows.values())


def role_relationship(
    row: HeldRole, holder: ObjectReference | SubjectReference
) -> Iterator[Relationship]:
    """Yield the relationship that gives the row's role to the holder. SpiceDB ends it when it expires."""
    if row.custom:
        custom_role = role(row.organization_id, row.role)
        yield custom_role.relates("member", holder, until=row.expires_at)
    else:
        tenant = organization(row.organization_id)
        yield tenant.relates(row.role, holder, until=row.expires_at)


def rows_of_resource_type(table: type[HeldRole], resource_type: str) -> ColumnElement[bool]:
    """Return the condition for the table's rows with relationships of this resource type."""
    conditions = {"organization": not_(table.custom), "role": table.custom == true()}
    return conditions.get(resource_type, false())


def parse_role_relationship(relationship: Relationship) -> tuple[str, str, bool] | None:
    """Return the organization, the role and whether it is custom. None for other relationships."""
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
    """A role that a member holds, perhaps with an end. It ends with the membership at the latest."""

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
        """Yield the relationship that gives the role to the member."""
        yield from role_relationship(self, user(self.user_id))

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it gives a role to a user."""
        held = parse_role_relationship(relationship)
        if held is None or not is_user(relationship.subject):
            return False
        _, role, custom = held
        return custom or role in catalog.roles

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Return the condition for rows with relationships of this resource type."""
        return rows_of_resource_type(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for assignments that have expired by `at`."""
        return cls.expires_at <= at


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
        times_in_calendar("last_active_at"),
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
        times_in_calendar("joined_at", "suspended_at", "expires_at"),
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
        """Yield the membership gate while the member is not suspended. It expires by itself."""
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
        self.assignments = held_rows(
            self.assignments,
            roles,
            lambda role: RoleAssignment(role=role, custom=role in custom, granted_at=at),
        )
