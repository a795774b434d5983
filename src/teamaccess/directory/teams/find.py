"""Find teams, and list their members page by page."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from teamaccess.common.errors import NotFound
from teamaccess.storage import (
    Membership,
    OrganizationId,
    Team,
    TeamId,
    TeamMembership,
    User,
    UserId,
    is_local_id,
)

MEMBERS = (
    select(
        TeamMembership.user_id,
        User.email,
        User.name,
        Membership.suspended_at,
        TeamMembership.joined_at,
        TeamMembership.expires_at,
    )
    .join(
        Membership,
        (Membership.organization_id == TeamMembership.organization_id)
        & (Membership.user_id == TeamMembership.user_id),
    )
    .join(User, User.id == TeamMembership.user_id)
    .where(
        TeamMembership.organization_id == bindparam("organization"),
        TeamMembership.team_id == bindparam("team"),
        or_(TeamMembership.expires_at.is_(None), TeamMembership.expires_at > bindparam("now")),
    )
    .order_by(TeamMembership.joined_at, TeamMembership.user_id)
)


class UnknownTeam(NotFound):
    """The organization has no such team."""

    message = "{organization} has no team {team}."


class TeamMemberEntry(NamedTuple):
    """A member of a team as a list shows them."""

    user_id: UserId
    email: str | None
    name: str | None
    suspended_at: datetime | None
    joined_at: datetime
    """When they joined the team."""
    expires_at: datetime | None
    """When their place in the team ends."""


async def find_team(session: AsyncSession, organization: OrganizationId, id: TeamId) -> Team | None:
    """Return the team with its roles, or None."""
    if not is_local_id(id):
        return None
    roles = [selectinload(Team.roles)]
    # SECURITY: read again each time, as in `find_member`
    return await session.get(Team, (organization, id), options=roles, populate_existing=True)


async def get_team(session: AsyncSession, organization: OrganizationId, id: TeamId) -> Team:
    """Return the team with its roles; raises UnknownTeam."""
    team = await find_team(session, organization, id)
    if team is None:
        raise UnknownTeam(team=id, organization=organization)
    return team


async def list_teams(
    session: AsyncSession,
    organization: OrganizationId,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Team]:
    """Return at most `limit` teams with their roles, the oldest first."""
    rows = (
        select(Team)
        .where(Team.organization_id == organization)
        .order_by(Team.created_at, Team.id)
        .limit(limit)
        .options(selectinload(Team.roles))
    )
    if after is not None:
        rows = rows.where(tuple_(Team.created_at, Team.id) > after)
    return (await session.scalars(rows)).all()


async def list_team_members(
    session: AsyncSession,
    team: Team,
    now: datetime,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> Sequence[TeamMemberEntry]:
    """Return at most `limit` members of the team, in the order in which they joined it."""
    page = MEMBERS.limit(limit)
    if after is not None:
        page = page.where(tuple_(TeamMembership.joined_at, TeamMembership.user_id) > after)
    keys = {"organization": team.organization_id, "team": team.id, "now": now}
    return [TeamMemberEntry(*row) for row in await session.execute(page, keys)]
