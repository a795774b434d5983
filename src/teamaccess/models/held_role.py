"""A role of an organization, predefined or its own, as rows name the one that somebody holds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKeyConstraint,
    Index,
    false,
    not_,
    true,
)
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from teamaccess.models.ids import (
    ROLE_PATTERN,
    OrganizationId,
    RoleId,
    is_organization_id,
    is_role_id,
)
from teamaccess.models.source import IN_RANGE, local_id, tenant_of
from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    SubjectReference,
    organization,
    role,
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


def exactly(
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
