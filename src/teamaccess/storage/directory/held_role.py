"""Roles that members and teams hold, and the role assignments of members."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKeyConstraint,
    Index,
    false,
    func,
    not_,
    true,
)
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    SubjectReference,
    organization,
    role,
    user,
)
from teamaccess.storage.ids import (
    ROLE_PATTERN,
    OrganizationId,
    RoleId,
    UserId,
    is_organization_id,
    is_role_id,
)
from teamaccess.storage.source import (
    EXPIRATION_IN_RANGE,
    Instant,
    RelationshipSource,
    is_user,
    local_id,
    tenant_of,
)


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
            Index(f"{table}_organization_id_role_idx", "organization_id", "role"),
            Index(
                f"{table}_expires_at_idx", "expires_at", postgresql_where="expires_at IS NOT NULL"
            ),
        )

    def active(self, at: datetime) -> bool:
        """Return whether it has not ended by `at`."""
        return self.expires_at is None or self.expires_at > at


Row = TypeVar("Row", bound=HeldRole)


def rows_for_roles(
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
    """Yield the relationship that gives the row's role to the holder. SpiceDB ends it in time."""
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
