"""A role that a team holds."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from sqlalchemy import ColumnElement, ForeignKeyConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.held_role import HeldRole, holding, role_held, rows_about
from teamaccess.models.ids import TeamId
from teamaccess.models.source import Instant, RelationshipSource, is_team
from teamaccess.relationships import Relationship, SubjectReference, team


class TeamRole(HeldRole, RelationshipSource):
    """A role that everybody in a team has, perhaps until a time."""

    __tablename__ = "team_roles"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="team_roles_team_id_fkey",
            ondelete="CASCADE",
        ),
        *HeldRole.constraints("team_roles"),
    )

    resource_type: ClassVar[str] = "organization"

    team_id: Mapped[TeamId] = mapped_column(primary_key=True, sort_order=-2)
    granted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    def relationships(self) -> Iterator[Relationship]:
        """Yield that whoever is in the team has the role."""
        yield from holding(
            self, SubjectReference(team(self.organization_id, self.team_id), "member")
        )

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it is a team's role, of those that teams may hold."""
        held = role_held(relationship)
        if held is None:
            return False
        organization, role, custom = held
        allowed = custom or (role in catalog.roles and catalog.roles[role].teams)
        return allowed and is_team(relationship.subject, organization)

    @classmethod
    def about(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources."""
        return rows_about(cls, resource_type)

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Which of them have come to their end by `at` and are still there."""
        return cls.expires_at <= at
