"""The rules about teams: giving something to a team gives it to every member of the team."""

from collections.abc import Iterable

from sqlalchemy import bindparam, select

from teamaccess.access.holdings import actions_behind
from teamaccess.access.role_set import RoleSet, role_set_of
from teamaccess.access.selves import is_self
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Forbidden
from teamaccess.storage import Grant, RoleId, Team, TeamMembership, UserId


class TeamAboveActor(Forbidden):
    """Nobody acts on someone above them: who is in the team {team} holds through it what you lack, {missing}."""  # noqa: E501 - a sentence is one line


class RoleNotForTeams(Conflict):
    """No team may hold the role {role}; give it to members themselves."""


def refuse_above(team: Team, through: frozenset[str], held: frozenset[str]) -> None:
    """Raise TeamAboveActor unless `held` has every action that its members hold through the team."""
    if missing := sorted(through - held):
        raise TeamAboveActor(team=team.id, missing=missing)


def refuse_not_for_teams(roles: Iterable[RoleId], known: RoleSet) -> None:
    """Raise RoleNotForTeams for a role that the catalog keeps to members themselves."""
    for role in sorted(roles):
        if not known.teams_may_hold(role):
            raise RoleNotForTeams(role=role)


GRANTS = (
    select(Grant.type, Grant.action)
    .where(Grant.organization_id == bindparam("organization"), Grant.team_id == bindparam("team"))
    .distinct()
)


async def actions_through(change: Change, team: Team) -> frozenset[str]:
    """Return every action that whoever is in the team has through it, ends left aside.

    Access to a single object counts as the action throughout the organization, as it does in
    `members.holdings`.
    """
    roles = [held.role for held in team.roles]
    known = await role_set_of(change.session, change.catalog, team.organization_id, roles)
    granted = await change.session.execute(
        GRANTS, {"organization": team.organization_id, "team": team.id}
    )
    grants = [(type, action) for type, action in granted]
    return known.actions_of(roles) | actions_behind(change.catalog, grants)


async def concerns_others(change: Change, team: Team, actor: UserId) -> bool:
    """Return whether what happens to the team happens to anybody but the actor in person.

    SECURITY: a service account that acts for a member is somebody else, also where that member is alone
    in the team.
    """
    members = await change.session.scalars(
        select(TeamMembership.user_id)
        .where(
            TeamMembership.organization_id == team.organization_id,
            TeamMembership.team_id == team.id,
        )
        .limit(2)  # of two members, one is not the actor
    )
    return any(not is_self(change, actor, member) for member in members)
