"""Find members, one or a page of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from teamaccess.errors import NotFound
from teamaccess.models import (
    Activity,
    Membership,
    MembershipStatus,
    OrganizationId,
    RoleAssignment,
    RoleId,
    UserId,
    is_local_id,
)

PERSON = (joinedload(Membership.user), joinedload(Membership.activity))
ONE = (*PERSON, joinedload(Membership.assignments))
"""A member in one query."""
MANY = (*PERSON, selectinload(Membership.assignments))
"""A page of members in two, without repeating a person for each role."""


class UnknownMember(NotFound):
    """{user} is not a member of {organization}."""


async def find_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership | None:
    """Return the member with user, roles and activity, or None."""
    if not is_local_id(user):
        return None
    return await session.get(Membership, (organization, user), options=ONE)


async def get_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership:
    """Return the member; raises UnknownMember."""
    member = await find_member(session, organization, user)
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    return member


@dataclass(frozen=True)
class MemberFilter:
    """Which members to list; None leaves a criterion out."""

    role: RoleId | None = None
    status: MembershipStatus | None = None
    inactive_days: int | None = None
    """Those who did nothing for so many days, whoever never did anything among them."""


async def list_members(
    session: AsyncSession,
    organization: OrganizationId,
    wanted: MemberFilter,
    now: datetime,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> Sequence[Membership]:
    """Return at most `limit` members in the order they joined, in two queries however many."""
    page = (
        select(Membership)
        .where(Membership.organization_id == organization)
        .order_by(Membership.joined_at, Membership.user_id)
        .limit(limit)
        .options(*MANY)
    )
    if after is not None:
        page = page.where(tuple_(Membership.joined_at, Membership.user_id) > after)
    if wanted.status is not None:
        suspended = wanted.status is MembershipStatus.SUSPENDED
        page = page.where(
            Membership.suspended_at.is_not(None) if suspended else Membership.suspended_at.is_(None)
        )
    if wanted.role is not None:
        page = page.where(
            Membership.assignments.any(
                (RoleAssignment.role == wanted.role)
                & or_(RoleAssignment.expires_at.is_(None), RoleAssignment.expires_at > now)
            )
        )
    if wanted.inactive_days is not None:
        since = now - timedelta(days=wanted.inactive_days)
        page = page.where(~Membership.activity.has(Activity.last_active_at > since))
    return (await session.scalars(page)).all()
