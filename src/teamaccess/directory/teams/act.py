"""Make teams, rename them, say what they hold, and end them."""

from sqlalchemy import literal, select

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import Ends, refuse_bad_end, refuse_beyond, refuse_operator_only
from teamaccess.access.member_rules import given
from teamaccess.access.role_set import role_set_of
from teamaccess.access.team_rules import (
    actions_through,
    concerns_others,
    refuse_above,
    refuse_not_for_teams,
)
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.teams.find import find_team, get_team, known
from teamaccess.storage import OrganizationId, Team, TeamId, UserId, is_local_id


class InvalidTeamId(Invalid):
    """{id!r} cannot be the id of a team: 1 to 64 characters of A-Z, a-z, 0-9, hyphen and underscore."""


class TeamExists(Conflict):
    """{organization} has a team {team} already."""


async def make(
    change: Change, actor: UserId, organization: OrganizationId, id: str, name: str
) -> Team:
    """Make a team that nobody is in and that holds nothing; return it.

    Raises InvalidTeamId, InvalidText, TeamExists and LimitReached.
    """
    await authorize(change, actor, organization, "manage_teams")
    if not is_local_id(id):
        raise InvalidTeamId(id=id)
    name = clean("name", name, LONGEST_NAME)
    if await find_team(change.session, organization, TeamId(id)) is not None:
        raise TeamExists(team=id, organization=organization)
    present = select(literal(1)).where(Team.organization_id == organization)
    await refuse_full(change, organization, "teams", present)
    made = Team(
        organization_id=organization, id=TeamId(id), name=name, created_at=change.now, roles=[]
    )
    change.session.add(made)
    await record(change, "team_created", organization, f"team:{id}", name=name)
    return made


async def rename(
    change: Change, actor: UserId, organization: OrganizationId, id: TeamId, name: str
) -> Team:
    """Call the team something else; raises UnknownTeam and InvalidText."""
    await authorize(change, actor, organization, "manage_teams")
    team = await get_team(change.session, organization, id)
    before = team.name
    team.name = clean("name", name, LONGEST_NAME)
    if team.name == before:
        return team  # nothing happened, so there is nothing to record
    await record(change, "team_renamed", organization, f"team:{id}", name=team.name)
    return team


async def change_roles(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: TeamId,
    roles: Ends,
    reason: str | None = None,
) -> Team:
    """Have a team hold exactly these roles, and return the team.

    It gives them to everybody in the team, now and later. Raises what `roles.rules` and `teams.rules`
    say, UnknownRole and UnknownTeam.
    """
    allowed = await role_set_of(change.session, change.catalog, organization, roles)
    found = await find_team(change.session, organization, id)
    through = await actions_through(change, found) if found else frozenset()
    new = given(found.roles if found else (), roles, change.now)
    giving = allowed.actions_of(new)
    held = await authorize(change, actor, organization, "manage_teams", holding=giving | through)
    allowed.refuse_unknown(roles)
    team = known(found, organization, id)
    for until in roles.values():
        refuse_bad_end(change.catalog, until, change.now)
    refuse_not_for_teams(roles, allowed)
    refuse_operator_only(change, new, allowed)
    refuse_beyond(giving, held)
    if await concerns_others(change, team, actor):
        refuse_above(team, through, held)
    if {each.role: each.expires_at for each in team.roles} == dict(roles):
        return team  # nothing happened, so there is nothing to record
    before = [each.role for each in team.roles]
    team.replace_roles(roles, change.now, custom=allowed.are_custom(roles))
    ends = {role: until.isoformat() for role, until in roles.items() if until is not None}
    about = {"before": before, "after": sorted(roles), "ends": ends}
    await record(change, "team_roles_changed", organization, f"team:{id}", reason, **about)
    return team


async def end(change: Change, actor: UserId, organization: OrganizationId, id: TeamId) -> None:
    """End a team with everything that its members had through it; raises UnknownTeam, TeamAboveActor."""
    found = await find_team(change.session, organization, id)
    through = await actions_through(change, found) if found else frozenset()
    held = await authorize(change, actor, organization, "manage_teams", holding=through)
    team = known(found, organization, id)
    if await concerns_others(change, team, actor):
        refuse_above(team, through, held)
    roles = [each.role for each in team.roles]
    await change.session.delete(team)
    await record(change, "team_deleted", organization, f"team:{id}", name=team.name, roles=roles)
