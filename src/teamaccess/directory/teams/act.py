"""Create teams, rename them, change the roles that they hold, and delete them."""

from typing import NamedTuple

from sqlalchemy import literal, select

from teamaccess.access.authorize import (
    Ends,
    authorize,
    authorize_giving,
    authorize_on,
    ends_of,
    gift_of_replacement,
)
from teamaccess.access.holdings import Target, custom_among, role_set_in, team_target
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.roles import TeamCreated, TeamDeleted, TeamRenamed, TeamRolesChanged
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.lookalikes import find_lookalike_yielding
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.teams.find import UnknownTeam, find_team, get_team
from teamaccess.storage import Team, TeamId, is_local_id
from teamaccess.storage.base import suggest_local_id


class InvalidTeamId(Invalid):
    """The id has a form that SpiceDB does not take."""

    message = (
        "{id!r} is not a valid team id. Use 1 to 128 characters of A-Z, a-z, 0-9, hyphen and "
        "underscore, because SpiceDB takes no dots in ids. For example: {example!r}."
    )


class TeamExists(Conflict):
    """The organization already has a team with this id."""

    message = "{organization} already has a team {team}. Choose another id."


class TeamNameTaken(Conflict):
    """The name looks like that of another team, so people would take one for the other."""

    message = "{name!r} looks like the team {taken!r}. Choose another name."


class TeamRolesReplaced(NamedTuple):
    """A team whose roles were replaced, and the roles that it held before."""

    team: Team
    before: Ends


async def create_team(change: OrganizationChange, id: str, name: str) -> Team:
    """Create a team without members or roles; return it.

    Raises what `authorize` does, InvalidTeamId, InvalidText, TeamExists, TeamNameTaken and
    LimitReached.
    """
    organization = change.organization
    await authorize(change, "manage_teams")
    if not is_local_id(id):
        raise InvalidTeamId(id=id, example=suggest_local_id(id))
    name = clean("name", name, LONGEST_NAME)
    if await find_team(change.session, organization, TeamId(id)) is not None:
        raise TeamExists(team=id, organization=organization)
    await _refuse_taken_name(change, name, TeamId(id))
    present = select(literal(1)).where(Team.organization_id == organization)
    await refuse_full(change, "teams", present)
    team = Team(
        organization_id=organization, id=TeamId(id), name=name, created_at=change.now, roles=[]
    )
    change.session.add(team)
    await record(change, TeamCreated(name=name), organization, id)
    return team


async def rename_team(change: OrganizationChange, id: TeamId, name: str) -> Team:
    """Give the team another name.

    Raises what `authorize` does, UnknownTeam, InvalidText, WrittenOutTooLong and TeamNameTaken.
    """
    await authorize(change, "manage_teams")
    team = await get_team(change.session, change.organization, id)
    name = clean("name", name, LONGEST_NAME)
    if team.name == name:
        return team  # nothing has changed, so there is nothing to record
    await _refuse_taken_name(change, name, id)
    team.name = name
    await record(change, TeamRenamed(name=team.name), change.organization, id)
    return team


async def change_team_roles(
    change: OrganizationChange, id: TeamId, roles: Ends, reason: str | None = None
) -> TeamRolesReplaced:
    """Replace the roles of a team. Return the team, and the roles that it held before.

    It gives them to every member of the team, now and later. Raises what `authorize_giving` does, and
    UnknownTeam.
    """
    found = await find_team(change.session, change.organization, id)
    role_set = await role_set_in(change, roles)
    held = found.roles if found else ()
    gift = gift_of_replacement(role_set, held, roles, change.now, to_team=True)
    team = await authorize_giving(change, "manage_teams", gift, await _target(change, id, found))
    before = ends_of(team.roles)
    if before == dict(roles):
        return TeamRolesReplaced(team, before)  # nothing has changed, so there is nothing to record
    team.replace_roles(roles, change.now, custom=custom_among(change.catalog, roles))
    ends = {role: end for role, end in roles.items() if end is not None}
    details = TeamRolesChanged(before=list(before), after=sorted(roles), ends=ends)
    await record(change, details, change.organization, id, reason)
    return TeamRolesReplaced(team, before)


async def delete_team(change: OrganizationChange, id: TeamId) -> None:
    """Delete a team with everything that its members had through it.

    Raises what `authorize_on` does, and UnknownTeam.
    """
    found = await find_team(change.session, change.organization, id)
    team = await authorize_on(change, "manage_teams", await _target(change, id, found))
    roles = [held.role for held in team.roles]
    await change.session.delete(team)
    await record(change, TeamDeleted(name=team.name, roles=roles), change.organization, id)


async def _refuse_taken_name(change: OrganizationChange, name: str, of: TeamId) -> None:
    """Raise TeamNameTaken for a name of the team `of` that looks like the name of another team.

    Also raises WrittenOutTooLong.
    """
    rows = await change.session.scalars(
        select(Team.name)
        .where(Team.organization_id == change.organization, Team.id != of)
        .order_by(Team.created_at, Team.id)
    )
    if (taken := await find_lookalike_yielding(name, rows)) is not None:
        raise TeamNameTaken(name=name, taken=taken)


async def _target(change: OrganizationChange, id: TeamId, team: Team | None) -> Target[Team]:
    if team is None:
        return Target(None, UnknownTeam(team=id, organization=change.organization))
    return await team_target(change, team)
