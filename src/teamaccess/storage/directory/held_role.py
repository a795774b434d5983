"""Roles that somebody holds, and the roles of members."""

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
    """Return rows for these roles with their ends; one that was held keeps its row, and since when."""
    kept = {row.role: row for row in held if row.role in roles}
    for wanted, until in roles.items():
        row = kept.get(wanted) or kept.setdefault(wanted, new(wanted))
        row.expires_at = until
    return list(kept.values())


def role_relationship(
    row: HeldRole, holder: ObjectReference | SubjectReference
) -> Iterator[Relationship]:
    """Yield that the holder has the row's role; SpiceDB itself ends it in time."""
    if row.custom:
        mine = role(row.organization_id, row.role)
        yield mine.relates("member", holder, until=row.expires_at)
    else:
        everywhere = organization(row.organization_id)
        yield everywhere.relates(row.role, holder, until=row.expires_at)


def rows_of_resource_type(table: type[HeldRole], resource_type: str) -> ColumnElement[bool]:
    """Return which of a table's rows stand for relationships of such resources."""
    about = {"organization": not_(table.custom), "role": table.custom == true()}
    return about.get(resource_type, false())


def parse_role_relationship(relationship: Relationship) -> tuple[str, str, bool] | None:
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
        yield from role_relationship(self, user(self.user_id))

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is somebody's role."""
        held = parse_role_relationship(relationship)
        if held is None or not is_user(relationship.subject):
            return False
        _, role, custom = held
        return custom or role in catalog.roles

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources."""
        return rows_of_resource_type(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which assignments have come to their end by `at` and are still there."""
        return cls.expires_at <= at
