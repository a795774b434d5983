"""End memberships, roles, places in teams, invitations and grants whose end has come.

No permission is checked, because they were given with this end. An expiry never removes the last
administrator, because only administrators without an expiry count (`members.act.keep_one_administrator`).
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Select, func, select, union
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record
from teamaccess.changes.events.members import InvitationExpired, MembershipEnded, RoleEnded
from teamaccess.changes.events.resources import GrantEnded
from teamaccess.changes.events.roles import TeamPlaceEnded, TeamRoleEnded
from teamaccess.directory.members.end import end_memberships
from teamaccess.ledger import Attribution
from teamaccess.storage import (
    Channel,
    Grant,
    Invitation,
    Membership,
    OrganizationId,
    RoleAssignment,
    TeamMembership,
    TeamRole,
)

BATCH = 200
"""The most rows that one change ends. It is small because other changes of the organization wait."""

NOW = func.statement_timestamp()
"""PostgreSQL's clock, in a form that lets a query use an index."""


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


class ExpiringKind(NamedTuple):
    """A kind of row that can expire."""

    due: Select[OrganizationId]
    """Selects the organizations with expired rows."""
    expire: Callable[[Change, OrganizationId, int], Awaitable[int]]
    """Ends at most this many rows of an organization, and returns the number."""


KINDS = (
    ExpiringKind(select(Membership.organization_id).where(Membership.due(NOW)), expire_memberships),
    ExpiringKind(
        select(RoleAssignment.organization_id).where(RoleAssignment.due(NOW)), expire_roles
    ),
    ExpiringKind(
        select(TeamMembership.organization_id).where(TeamMembership.due(NOW)), expire_places
    ),
    ExpiringKind(select(TeamRole.organization_id).where(TeamRole.due(NOW)), expire_team_roles),
    ExpiringKind(select(Invitation.organization_id).where(Invitation.due(NOW)), expire_invitations),
    ExpiringKind(select(Grant.organization_id).where(Grant.due(NOW)), expire_grants),
)
"""Memberships come first, because the other rows of a membership end with it."""


async def find_due(
    session: AsyncSession, most: int, but: Iterable[OrganizationId] = ()
) -> Sequence[OrganizationId]:
    """Return at most `most` organizations with expired rows, except those in `but`.

    The order is random, so that concurrent workers rarely pick the same organization.
    """
    due = union(*(kind.due for kind in KINDS)).subquery()
    organization = due.c.organization_id
    organizations = await session.scalars(
        select(organization)
        .where(organization.not_in(list(but)))
        .order_by(func.random())
        .limit(most)
    )
    return organizations.all()


async def end_due(ledger: Ledger, organization: OrganizationId) -> int:
    """End the expired rows of an organization, at most a batch; return their number.

    The rows are looked up under the organization's lock, by PostgreSQL's clock. So two workers
    never end the same row, and a row that was extended meanwhile stays. Raises what `Ledger` does.
    """
    by_system = Attribution("system", Channel.SYSTEM, secrets.token_hex(12))
    ended = 0
    async with ledger.change(by_system, organization, even_if_stopped=True) as change:
        for kind in KINDS:
            if ended < BATCH:
                ended += await kind.expire(change, organization, BATCH - ended)
        if ended:
            await ledger.commit(change)
    return ended
