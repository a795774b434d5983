"""Put members into teams and take them out."""

from datetime import datetime

from sqlalchemy import literal, select

from teamaccess.access.authorize import MEMBERSHIP, authorize, require_held
from teamaccess.access.giving import refuse_bad_end, refuse_beyond
from teamaccess.access.member_rules import later
from teamaccess.access.selves import is_self
from teamaccess.access.team_rules import actions_through, refuse_above
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import NotFound
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.members.find import UnknownMember, find_member
from teamaccess.directory.teams.find import find_place, find_team, known
from teamaccess.storage import Membership, OrganizationId, TeamId, TeamMembership, UserId


class NotInTeam(NotFound):
    """{user} is not in the team {team}."""


async def put(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: TeamId,
    user: UserId,
    until: datetime | None,
) -> tuple[Membership, TeamMembership]:
    """Have a member be in the team until then, None for without an end; return member and place.

    A new place, and one that ends later than it did, is giving everything that the team holds. Raises
    UnknownTeam, UnknownMember, TeamAboveActor and what `roles.rules` says.
    """
    found = await find_team(change.session, organization, id)
    member = await find_member(change.session, organization, user)
    place = await find_place(change.session, organization, id, user)
    through = await actions_through(change, found) if found else frozenset()
    held = await authorize(change, actor, organization, "manage_teams", holding=through)
    team = known(found, organization, id)
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    refuse_bad_end(change.catalog, until, change.now)
    if place is not None and place.expires_at == until:
        return member, place
    if place is None or not place.active(change.now) or later(until, place.expires_at):
        refuse_beyond(through, held)
    elif not is_self(change, actor, user):
        refuse_above(team, through, held)
    kind = "team_member_added" if place is None else "team_member_changed"
    if place is None:
        present = select(literal(1)).where(
            TeamMembership.organization_id == organization, TeamMembership.team_id == id
        )
        await refuse_full(change, organization, "team_members", present)
        place = TeamMembership(
            organization_id=organization, team_id=id, user_id=user, joined_at=change.now
        )
        change.session.add(place)
    place.expires_at = until
    ends = until.isoformat() if until is not None else None
    await record(change, kind, organization, f"user:{user}", team=id, expires_at=ends)
    return member, place


async def take(
    change: Change, actor: UserId, organization: OrganizationId, id: TeamId, user: UserId
) -> None:
    """End a member's place in the team; whose own it is needs no permission for that.

    Raises UnknownTeam, NotInTeam and TeamAboveActor.
    """
    place = await find_place(change.session, organization, id, user)
    if place is not None and is_self(change, actor, user):
        held = await change.permitted(organization, user, [MEMBERSHIP])
        require_held(held, organization, MEMBERSHIP)
        await change.session.delete(place)
        await record(change, "team_left", organization, f"user:{user}", team=id)
        return
    found = await find_team(change.session, organization, id)
    through = await actions_through(change, found) if found else frozenset()
    held = await authorize(change, actor, organization, "manage_teams", holding=through)
    team = known(found, organization, id)
    if place is None:
        raise NotInTeam(user=user, team=id)
    refuse_above(team, through, held)
    await change.session.delete(place)
    await record(change, "team_member_removed", organization, f"user:{user}", team=id)
