"""What members of a team have through it."""

from sqlalchemy import bindparam, select

from teamaccess.ledger import Change
from teamaccess.members.holdings import actions_behind
from teamaccess.models import Grant, Team, TeamMembership, UserId
from teamaccess.roles.known import roles_of
from teamaccess.users.selves import is_self

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
    known = await roles_of(change.session, change.catalog, team.organization_id, roles)
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
