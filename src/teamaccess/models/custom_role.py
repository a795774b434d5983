"""A role that an organization has made itself."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.models.base import Base
from teamaccess.models.custom_role_action import CustomRoleAction
from teamaccess.models.ids import ROLE_PATTERN, OrganizationId, RoleId


class CustomRole(Base):
    """A bundle of actions with a name; what it allows is its actions' rows."""

    __tablename__ = "custom_roles"
    __table_args__ = (CheckConstraint(f"id ~ '{ROLE_PATTERN}' AND id <> 'member'", name="id"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[RoleId] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    selectors: Mapped[list[dict[str, str]]] = mapped_column(
        JSONB, server_default="[]", default=list
    )
    """Resources and levels that it was saved with, whose actions of that time are among its own."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    allowed: Mapped[list[CustomRoleAction]] = relationship(
        lazy="selectin",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by=CustomRoleAction.action,
    )

    @property
    def actions(self) -> frozenset[str]:
        """What holders may do, by the ids of the catalog's actions."""
        return frozenset(each.action for each in self.allowed)

    def allow_exactly(self, actions: frozenset[str]) -> None:
        """Allow these actions and no other; rows of those that stay are left alone."""
        kept = [each for each in self.allowed if each.action in actions]
        new = sorted(actions - self.actions)
        self.allowed = [*kept, *(CustomRoleAction(action=action) for action in new)]
