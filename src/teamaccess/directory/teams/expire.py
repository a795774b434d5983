"""End places in teams and roles of teams whose end has come; nobody is asked."""

from sqlalchemy import select

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.storage import OrganizationId, TeamMembership, TeamRole


async def expire_places(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most so many places in teams; return how many."""
    found = await change.session.scalars(
        select(TeamMembership)
        .where(TeamMembership.organization_id == organization, TeamMembership.due(change.now))
        .order_by(TeamMembership.expires_at)
        .limit(most)
    )
    ended = found.all()
    for place in ended:
        await change.session.delete(place)
        about = {"team": place.team_id, "expires_at": _told(place)}
        await record(change, "team_place_ended", organization, f"user:{place.user_id}", **about)
    return len(ended)


async def expire_team_roles(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most so many roles of teams; return how many."""
    found = await change.session.scalars(
        select(TeamRole)
        .where(TeamRole.organization_id == organization, TeamRole.due(change.now))
        .order_by(TeamRole.expires_at)
        .limit(most)
    )
    ended = found.all()
    for held in ended:
        await change.session.delete(held)
        about = {"role": held.role, "expires_at": _told(held)}
        await record(change, "team_role_ended", organization, f"team:{held.team_id}", **about)
    return len(ended)


def _told(ended: TeamMembership | TeamRole) -> str | None:
    return ended.expires_at.isoformat() if ended.expires_at else None
