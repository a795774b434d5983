"""The rules about teams: to give a team something is to give it to everybody in it."""

from collections.abc import Iterable

from teamaccess.errors import Conflict, Forbidden
from teamaccess.models import RoleId, Team
from teamaccess.roles.known import Roles


class TeamAboveActor(Forbidden):
    """Nobody acts on someone above them: who is in the team {team} holds through it what you lack, {missing}."""  # noqa: E501 - a sentence is one line


class RoleNotForTeams(Conflict):
    """No team may hold the role {role}; give it to members themselves."""


def refuse_above(team: Team, through: frozenset[str], held: frozenset[str]) -> None:
    """Raise TeamAboveActor unless `held` has every action that its members hold through the team."""
    if missing := sorted(through - held):
        raise TeamAboveActor(team=team.id, missing=missing)


def refuse_not_for_teams(roles: Iterable[RoleId], known: Roles) -> None:
    """Raise RoleNotForTeams for a role that the catalog keeps to members themselves."""
    for role in sorted(roles):
        if not known.teams_may_hold(role):
            raise RoleNotForTeams(role=role)
