"""Custom roles and their actions."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.relationships import Relationship, SubjectReference, organization, role
from teamaccess.storage.base import (
    ROLE_PATTERN,
    Base,
    OrganizationId,
    RelationshipSource,
    RoleId,
    is_organization_id,
    is_role_id,
    local_id,
    times_in_calendar,
)


class CustomRoleAction(RelationshipSource):
    """An action that a custom role allows throughout the organization."""

    __tablename__ = "custom_role_actions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "role"],
            ["custom_roles.organization_id", "custom_roles.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"action ~ '{ROLE_PATTERN}'", name="action"),
    )

    resource_type: ClassVar[str] = "organization"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    role: Mapped[RoleId] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)

    def relationships(self) -> Iterator[Relationship]:
        """Yield the grant of the action to the holders of the role."""
        holders = SubjectReference(role(self.organization_id, self.role), "member")
        yield organization(self.organization_id).relates(f"granted_{self.action}", holders)

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it grants a custom role an action that custom roles may contain."""
        resource, subject = relationship.resource, relationship.subject
        actions = catalog.actions.values()
        granted = {action.grant_relation for action in actions if not action.reserved}
        name = local_id(subject.object, resource.id)
        return (
            resource.type == "organization"
            and is_organization_id(resource.id)
            and relationship.relation in granted
            and subject.object.type == "role"
            and subject.relation == "member"
            and name is not None
            and is_role_id(name)
        )


class CustomRole(Base):
    """A role that an organization made itself. Its actions are rows of their own."""

    __tablename__ = "custom_roles"
    __table_args__ = (
        CheckConstraint(f"id ~ '{ROLE_PATTERN}' AND id <> 'member'", name="id"),
        times_in_calendar("created_at"),
        CheckConstraint(
            "jsonb_typeof(selectors) = 'array'"
            " AND NOT jsonb_path_exists(selectors, 'strict $[*] ? (@.type() != \"object\")')"
            " AND NOT jsonb_path_exists(selectors, '$[*] ? "
            '(!(@.resource.type() == "string" && @.level.type() == "string"))\')'
            " AND NOT jsonb_path_exists(selectors, "
            '\'$[*].keyvalue().key ? (@ != "resource" && @ != "level")\')',
            name="selectors",
        ),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[RoleId] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    selectors: Mapped[list[dict[str, str]]] = mapped_column(
        JSONB, server_default="[]", default=list
    )
    """The resources and levels that the role was saved with. Its actions include theirs at that time."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    allowed: Mapped[list[CustomRoleAction]] = relationship(
        lazy="selectin",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by=CustomRoleAction.action,
    )

    @property
    def actions(self) -> frozenset[str]:
        """The ids of the allowed actions."""
        return frozenset(row.action for row in self.allowed)

    def replace_actions(self, actions: frozenset[str]) -> None:
        """Allow exactly these actions. Rows of actions that stay are not changed."""
        kept = [row for row in self.allowed if row.action in actions]
        new = sorted(actions - self.actions)
        self.allowed = [*kept, *(CustomRoleAction(action=action) for action in new)]
