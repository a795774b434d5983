"""A role that a member holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from sqlalchemy import ColumnElement, ForeignKeyConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.held_role import HeldRole, holding, role_held, rows_about
from teamaccess.models.ids import UserId
from teamaccess.models.source import Instant, RelationshipSource, is_user
from teamaccess.relationships import Relationship, user


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
