"""Find teams, and who is in them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from teamaccess.common.errors import NotFound
from teamaccess.storage import (
    OrganizationId,
    Team,
    TeamId,
    TeamMembership,
    UserId,
    is_local_id,
)


class UnknownTeam(NotFound):
    """There is no team {team} in {organization}."""


async def find_team(session: AsyncSession, organization: OrganizationId, id: TeamId) -> Team | None:
    """Return the team with its roles, or None."""
    if not is_local_id(id):
        return None
    return await session.get(Team, (organization, id), options=[selectinload(Team.roles)])


async def get_team(session: AsyncSession, organization: OrganizationId, id: TeamId) -> Team:
    """Return the team with its roles; raises UnknownTeam."""
    return known(await find_team(session, organization, id), organization, id)


def known(team: Team | None, organization: OrganizationId, id: TeamId) -> Team:
    """Return the team; raises UnknownTeam where there is none."""
    if team is None:
        raise UnknownTeam(team=id, organization=organization)
    return team


async def find_place(
    session: AsyncSession, organization: OrganizationId, team: TeamId, user: UserId
) -> TeamMembership | None:
    """Return somebody's place in a team, or None."""
    if not (is_local_id(team) and is_local_id(user)):
        return None
    return await session.get(TeamMembership, (organization, team, user))


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
