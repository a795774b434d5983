"""Find a member, and the roles that members hold at a time with where each comes from."""

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
from sqlalchemy.orm import joinedload

from teamaccess.common.errors import NotFound
from teamaccess.storage import (
    Membership,
    OrganizationId,
    RoleAssignment,
    RoleId,
    TeamId,
    TeamMembership,
    TeamRole,
    UserId,
    is_local_id,
)

WHOLE_MEMBER = (
    joinedload(Membership.user),
    joinedload(Membership.activity),
    joinedload(Membership.assignments),
)
"""A member with user, activity and roles, in one query."""


class UnknownMember(NotFound):
    """The user is not a member of the organization."""

    message = "{user} is not a member of {organization}."


async def find_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership | None:
    """Return the member with user, roles and activity, or None.

    SECURITY: it is read again each time. An earlier part of the same change may have replaced roles for
    many members at once, which the rows in the session do not show.
    """
    if not is_local_id(user):
        return None
    key = (organization, user)
    return await session.get(Membership, key, options=WHOLE_MEMBER, populate_existing=True)


async def get_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership:
    """Return the member; raises UnknownMember."""
    member = await find_member(session, organization, user)
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    return member


def active_now(row: type[RoleAssignment | TeamMembership | TeamRole]) -> ColumnElement[bool]:
    """Return the condition for rows that are `active` at the bound time `now`."""
    return or_(row.expires_at.is_(None), row.expires_at > bindparam("now"))


SAME_TEAM = (TeamRole.organization_id == TeamMembership.organization_id) & (
    TeamRole.team_id == TeamMembership.team_id
)
_one_of_the_users = any_(bindparam("users", type_=ARRAY(Text)))
_held = union_all(
    select(
        RoleAssignment.user_id,
        RoleAssignment.role,
        cast(null(), Text).label("team"),
        RoleAssignment.granted_at,
        RoleAssignment.expires_at,
    ).where(
        RoleAssignment.organization_id == bindparam("organization"),
        RoleAssignment.user_id == _one_of_the_users,
        active_now(RoleAssignment),
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
        TeamMembership.user_id == _one_of_the_users,
        active_now(TeamMembership),
        active_now(TeamRole),
    ),
)
HELD = _held.order_by(_held.selected_columns.role, nulls_first(_held.selected_columns.team))


class RoleOrigin(NamedTuple):
    """Where a role comes from: it is assigned directly, or a team holds it."""

    team: TeamId | None
    granted_at: datetime
    """For a team: when both the team membership and the team's role had begun."""
    expires_at: datetime | None
    """For a team: the earlier of the two ends."""


class HeldRoleView(NamedTuple):
    """A role that is in force."""

    role: RoleId
    sources: list[RoleOrigin]
    """The direct one first, then those from teams in the order of their ids; never empty."""

    @property
    def granted_at(self) -> datetime:
        """When it was assigned directly; otherwise when the first team began to give it."""
        first = self.sources[0]
        if first.team is None:
            return first.granted_at
        return min(source.granted_at for source in self.sources)

    @property
    def expires_at(self) -> datetime | None:
        """When the direct assignment ends; without one, when the last team stops giving it."""
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
    """Return the roles that each user holds at `now`, in the order of the roles' ids, in one query."""
    held: defaultdict[UserId, list[HeldRoleView]] = defaultdict(list)
    keys = {"organization": organization, "users": list(users), "now": now}
    for user, role, *source in await session.execute(HELD, keys):
        roles = held[user]
        if not roles or roles[-1].role != role:
            roles.append(HeldRoleView(role, []))
        roles[-1].sources.append(RoleOrigin(*source))
    return held


def holds(role: RoleId) -> ColumnElement[bool]:
    """Return the condition for members who hold the role, directly or from a team, at `now`."""
    directly = Membership.assignments.any(
        (RoleAssignment.role == role) & active_now(RoleAssignment)
    )
    membership = (
        _team_membership()
        .join(TeamRole, SAME_TEAM)
        .where(TeamRole.role == role, active_now(TeamRole))
    )
    return or_(directly, membership.exists())


def is_in(team: TeamId) -> ColumnElement[bool]:
    """Return the condition for members who are in the team at the bound time `now`."""
    return _team_membership().where(TeamMembership.team_id == team).exists()


def _team_membership() -> Select[UserId]:
    """Return the team memberships, still in force, of the member in an outer query."""
    return (
        select(TeamMembership.user_id)
        .where(
            TeamMembership.organization_id == Membership.organization_id,
            TeamMembership.user_id == Membership.user_id,
            active_now(TeamMembership),
        )
        .correlate(Membership)
    )
