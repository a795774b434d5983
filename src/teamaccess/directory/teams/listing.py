"""List who is in a team, page by page."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import Membership, Team, TeamMembership, User, UserId

IN_IT = (
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


class Seated(NamedTuple):
    """A member with their place in a team."""

    user_id: UserId
    email: str | None
    name: str | None
    suspended_at: datetime | None
    joined_at: datetime
    """The team."""
    expires_at: datetime | None
    """Of the place."""


async def list_places(
    session: AsyncSession,
    team: Team,
    now: datetime,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> Sequence[Seated]:
    """Return at most `limit` of those who are in the team, in the order they came into it."""
    page = IN_IT.limit(limit)
    if after is not None:
        page = page.where(tuple_(TeamMembership.joined_at, TeamMembership.user_id) > after)
    named = {"organization": team.organization_id, "team": team.id, "now": now}
    return [Seated(*row) for row in await session.execute(page, named)]
