"""End memberships, roles, places in teams, invitations and grants whose end has come.

No permission is checked, because they were given with this end. An expiry never removes the last
administrator, because only administrators without an expiry count (`members.act.keep_one_administrator`).
"""

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.members import InvitationExpired, MembershipEnded, RoleEnded
from teamaccess.changes.events.resources import GrantEnded
from teamaccess.changes.events.roles import TeamPlaceEnded, TeamRoleEnded
from teamaccess.directory.members.end import end_memberships
from teamaccess.storage import (
    Grant,
    Invitation,
    Membership,
    OrganizationId,
    RoleAssignment,
    TeamMembership,
    TeamRole,
)


async def expire_memberships(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most `most` memberships that are due, as a removal does; return how many."""
    rows = await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization, Membership.due(change.now))
        .order_by(Membership.expires_at)
        .limit(most)
        .options(joinedload(Membership.user), selectinload(Membership.assignments))
    )
    ended = rows.all()
    await end_memberships(change, organization, ended)
    for member in ended:
        details = MembershipEnded(roles=member.roles, expires_at=member.expires_at)
        await record(change, details, organization, member.user_id)
    return len(ended)


async def expire_roles(change: Change, organization: OrganizationId, most: int) -> int:
    """End the roles that are due, of at most `most` members; return how many roles."""
    first = (
        select(RoleAssignment.user_id)
        .where(RoleAssignment.organization_id == organization, RoleAssignment.due(change.now))
        .order_by(RoleAssignment.expires_at)
        .limit(most)
    )
    members = await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization, Membership.user_id.in_(first))
        .options(selectinload(Membership.assignments))
    )
    count = 0
    for member in members:
        for ended in member.remove_expired_roles(change.now):
            details = RoleEnded(role=ended.role, expires_at=ended.expires_at)
            await record(change, details, organization, member.user_id)
            count += 1
    return count


async def expire_places(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most `most` places in teams that are due; return how many."""
    rows = await change.session.scalars(
        select(TeamMembership)
        .where(TeamMembership.organization_id == organization, TeamMembership.due(change.now))
        .order_by(TeamMembership.expires_at)
        .limit(most)
    )
    ended = rows.all()
    for place in ended:
        await change.session.delete(place)
        details = TeamPlaceEnded(team=place.team_id, expires_at=place.expires_at)
        await record(change, details, organization, place.user_id)
    return len(ended)


async def expire_team_roles(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most `most` roles of teams that are due; return how many."""
    rows = await change.session.scalars(
        select(TeamRole)
        .where(TeamRole.organization_id == organization, TeamRole.due(change.now))
        .order_by(TeamRole.expires_at)
        .limit(most)
    )
    ended = rows.all()
    for held in ended:
        await change.session.delete(held)
        details = TeamRoleEnded(role=held.role, expires_at=held.expires_at)
        await record(change, details, organization, held.team_id)
    return len(ended)


async def expire_invitations(change: Change, organization: OrganizationId, most: int) -> int:
    """Let at most `most` open invitations lapse; return how many. They stay listed as expired."""
    rows = await change.session.scalars(
        select(Invitation)
        .where(Invitation.organization_id == organization, Invitation.due(change.now))
        .order_by(Invitation.expires_at)
        .limit(most)
    )
    expired = rows.all()
    for invitation in expired:
        invitation.lapse()
        details = InvitationExpired(roles=invitation.roles, expires_at=invitation.expires_at)
        await record(change, details, organization, invitation.id)
    return len(expired)


async def expire_grants(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most `most` grants that are due; return how many."""
    rows = await change.session.scalars(
        select(Grant)
        .where(Grant.organization_id == organization, Grant.due(change.now))
        .order_by(Grant.expires_at)
        .limit(most)
    )
    ended = rows.all()
    for grant in ended:
        await change.session.delete(grant)
        details = GrantEnded(
            action=grant.action,
            holder=f"{grant.holder_kind}:{grant.holder}",
            expires_at=grant.expires_at,
        )
        await record(change, details, organization, str(grant.reference))
    return len(ended)
