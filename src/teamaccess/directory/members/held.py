"""The roles that members hold at a time, and where they have each of them from."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    func,
    null,
    nulls_first,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import (
    Membership,
    OrganizationId,
    RoleAssignment,
    RoleId,
    TeamId,
    TeamMembership,
    TeamRole,
    UserId,
)


def in_force(row: type[RoleAssignment | TeamMembership | TeamRole]) -> ColumnElement[bool]:
    """Return the same as the rows' `active`, for PostgreSQL; `now` is to be bound."""
    return or_(row.expires_at.is_(None), row.expires_at > bindparam("now"))


SAME_TEAM = (TeamRole.organization_id == TeamMembership.organization_id) & (
    TeamRole.team_id == TeamMembership.team_id
)
_theirs = any_(bindparam("users", type_=ARRAY(Text)))
_held = union_all(
    select(
        RoleAssignment.user_id,
        RoleAssignment.role,
        cast(null(), Text).label("team"),
        RoleAssignment.granted_at,
        RoleAssignment.expires_at,
    ).where(
        RoleAssignment.organization_id == bindparam("organization"),
        RoleAssignment.user_id == _theirs,
        in_force(RoleAssignment),
    ),
    select(
        TeamMembership.user_id,
        TeamRole.role,
        TeamMembership.team_id,
        func.greatest(TeamMembership.joined_at, TeamRole.granted_at),
        func.least(TeamMembership.expires_at, TeamRole.expires_at),  # which leaves out NULL
    )
    .join(TeamRole, SAME_TEAM)
    .where(
        TeamMembership.organization_id == bindparam("organization"),
        TeamMembership.user_id == _theirs,
        in_force(TeamMembership),
        in_force(TeamRole),
    ),
)
HELD = _held.order_by(_held.selected_columns.role, nulls_first(_held.selected_columns.team))


class RoleOrigin(NamedTuple):
    """Where a role is from: assigned directly, or held by a team."""

    team: TeamId | None
    granted_at: datetime
    """From a team: since both the place in it and the team's role are there."""
    expires_at: datetime | None
    """From a team: the earlier of the two ends."""


class HeldRoleView(NamedTuple):
    """A role that is in force."""

    role: RoleId
    sources: list[RoleOrigin]
    """The direct one first, then those from teams in the order of their ids; never empty."""

    @property
    def granted_at(self) -> datetime:
        """Since when it is assigned directly; else since when the first team gives it."""
        first = self.sources[0]
        if first.team is None:
            return first.granted_at
        return min(source.granted_at for source in self.sources)

    @property
    def expires_at(self) -> datetime | None:
        """When the direct assignment ends; without one, when the last team ends to give it."""
        if self.sources[0].team is None:
            return self.sources[0].expires_at
        ends = [source.expires_at for source in self.sources if source.expires_at is not None]
        return max(ends) if len(ends) == len(self.sources) else None


async def roles_held(
    session: AsyncSession,
    organization: OrganizationId,
    users: Collection[UserId],
    now: datetime,
) -> Mapping[UserId, Sequence[HeldRoleView]]:
    """Return what each of the users holds then, in the order of the roles' ids, in one query."""
    held: defaultdict[UserId, list[HeldRoleView]] = defaultdict(list)
    names = {"organization": organization, "users": list(users), "now": now}
    for user, role, *source in await session.execute(HELD, names):
        theirs = held[user]
        if not theirs or theirs[-1].role != role:
            theirs.append(HeldRoleView(role, []))
        theirs[-1].sources.append(RoleOrigin(*source))
    return held


def holds(role: RoleId) -> ColumnElement[bool]:
    """Return which members hold the role, directly or from a team; `now` is to be bound."""
    directly = Membership.assignments.any((RoleAssignment.role == role) & in_force(RoleAssignment))
    place = _place().join(TeamRole, SAME_TEAM).where(TeamRole.role == role, in_force(TeamRole))
    return or_(directly, place.exists())


def is_in(team: TeamId) -> ColumnElement[bool]:
    """Return which members are in the team; `now` is to be bound."""
    return _place().where(TeamMembership.team_id == team).exists()


def _place() -> Select[UserId]:
    """Return the places in teams, still in force, of the member whom an outer query is at."""
    return (
        select(TeamMembership.user_id)
        .where(
            TeamMembership.organization_id == Membership.organization_id,
            TeamMembership.user_id == Membership.user_id,
            in_force(TeamMembership),
        )
        .correlate(Membership)
    )
