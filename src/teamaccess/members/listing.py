"""List members, page by page.

A page is read as columns. As objects of a session a thousand members would be four thousand, which take
several times as long and which nobody is going to change.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.models import (
    Activity,
    Membership,
    MembershipStatus,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    UserId,
)

IN_FORCE = or_(RoleAssignment.expires_at.is_(None), RoleAssignment.expires_at > bindparam("now"))
"""The same as `RoleAssignment.active`, for PostgreSQL."""
PEOPLE = (
    select(
        Membership.user_id,
        User.email,
        User.name,
        Membership.joined_at,
        Membership.expires_at,
        Membership.suspended_at,
        Activity.last_active_at,
    )
    .join(Membership.user)
    .outerjoin(Membership.activity)
    .where(Membership.organization_id == bindparam("organization"))
    .order_by(Membership.joined_at, Membership.user_id)
)
ROLES = (
    select(
        RoleAssignment.user_id,
        RoleAssignment.role,
        RoleAssignment.granted_at,
        RoleAssignment.expires_at,
    )
    .where(
        RoleAssignment.organization_id == bindparam("organization"),
        RoleAssignment.user_id == any_(bindparam("users", type_=ARRAY(Text))),
        IN_FORCE,
    )
    .order_by(RoleAssignment.role)
)


class Held(NamedTuple):
    """A role that is in force."""

    role: RoleId
    granted_at: datetime
    expires_at: datetime | None


class Listed(NamedTuple):
    """A member as a list shows them."""

    user_id: UserId
    email: str | None
    name: str | None
    joined_at: datetime
    expires_at: datetime | None
    suspended_at: datetime | None
    last_active_at: datetime | None
    roles: Sequence[Held]
    """In the order of their ids."""


@dataclass(frozen=True)
class MemberFilter:
    """Which members to list; None leaves a criterion out."""

    role: RoleId | None = None
    status: MembershipStatus | None = None
    inactive_days: int | None = None
    """Those who did nothing for so many days, whoever never did anything among them."""

    def of(self, now: datetime) -> list[ColumnElement[bool]]:
        """Return what a row has to be."""
        wanted: list[ColumnElement[bool]] = []
        if self.status is not None:
            suspended = Membership.suspended_at.is_not(None)
            wanted.append(suspended if self.status is MembershipStatus.SUSPENDED else ~suspended)
        if self.role is not None:
            wanted.append(Membership.assignments.any((RoleAssignment.role == self.role) & IN_FORCE))
        if self.inactive_days is not None:
            since = now - timedelta(days=self.inactive_days)
            wanted.append(~Membership.activity.has(Activity.last_active_at > since))
        return wanted


async def list_members(
    session: AsyncSession,
    organization: OrganizationId,
    wanted: MemberFilter,
    now: datetime,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> list[Listed]:
    """Return at most `limit` members in the order they joined, in two queries however many."""
    page = PEOPLE.where(*wanted.of(now)).limit(limit)
    if after is not None:
        page = page.where(tuple_(Membership.joined_at, Membership.user_id) > after)
    common = {"organization": organization, "now": now}
    people = (await session.execute(page, common)).all()
    users = [person.user_id for person in people]
    roles: defaultdict[UserId, list[Held]] = defaultdict(list)
    for user, role, granted_at, expires_at in await session.execute(
        ROLES, {**common, "users": users}
    ):
        roles[user].append(Held(role, granted_at, expires_at))
    return [Listed(*person, roles[person.user_id]) for person in people]
