"""Members who hold roles together."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.models.base import Base
from teamaccess.models.held_role import exactly
from teamaccess.models.ids import LOCAL_PATTERN, OrganizationId, RoleId, TeamId
from teamaccess.models.team_membership import TeamMembership
from teamaccess.models.team_role import TeamRole


class Team(Base):
    """A name for some members of one organization; who is in it and what it holds are rows."""

    __tablename__ = "teams"
    __table_args__ = (CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[TeamId] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    members: Mapped[list[TeamMembership]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )
    roles: Mapped[list[TeamRole]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True, order_by=TeamRole.role
    )

    def replace_roles(
        self,
        roles: Mapping[RoleId, datetime | None],
        at: datetime,
        custom: Collection[RoleId] = (),
    ) -> None:
        """Hold exactly these roles; those that are `custom` are the organization's own."""
        self.roles = exactly(
            self.roles,
            roles,
            lambda role: TeamRole(role=role, custom=role in custom, granted_at=at),
        )
