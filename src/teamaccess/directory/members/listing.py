"""List members, page by page.

A page is read as columns and not as objects, because a list changes nothing. A thousand members would be
four thousand objects in the session, which takes several times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, exists, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.directory.members.find import HeldRoleView, holds, is_in, roles_held
from teamaccess.storage import (
    Activity,
    ApiToken,
    Membership,
    MembershipStatus,
    OrganizationId,
    RoleId,
    TeamId,
    User,
    UserId,
    UserKind,
)

MEMBERS = (
    select(
        Membership.user_id,
        User.email,
        User.name,
        User.service_account_of,
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


class MemberEntry(NamedTuple):
    """A member as a list shows them."""

    user_id: UserId
    email: str | None
    name: str | None
    service_account_of: OrganizationId | None
    joined_at: datetime
    expires_at: datetime | None
    suspended_at: datetime | None
    last_active_at: datetime | None
    roles: Sequence[HeldRoleView]
    """In the order of their ids."""


@dataclass(frozen=True)
class MemberFilter:
    """Which members to list; None leaves a criterion out."""

    role: RoleId | None = None
    """Held directly or from a team."""
    team: TeamId | None = None
    status: MembershipStatus | None = None
    inactive_days: int | None = None
    """Members without activity for so many days. Joining counts as activity, and so does every use of a
    service account's token, also on behalf of members."""
    kind: UserKind | None = None

    def of(self, now: datetime) -> list[ColumnElement[bool]]:
        """Return the conditions for a row."""
        conditions: list[ColumnElement[bool]] = []
        if self.status is not None:
            suspended = Membership.suspended_at.is_not(None)
            conditions.append(
                suspended if self.status is MembershipStatus.SUSPENDED else ~suspended
            )
        if self.role is not None:
            conditions.append(holds(self.role))
        if self.team is not None:
            conditions.append(is_in(self.team))
        if self.inactive_days is not None:
            since = now - timedelta(days=self.inactive_days)
            conditions.append(Membership.joined_at <= since)
            conditions.append(~Membership.activity.has(Activity.last_active_at > since))
            conditions.append(~_used_token(since))
        if self.kind is not None:
            person = User.service_account_of.is_(None)
            conditions.append(person if self.kind is UserKind.PERSON else ~person)
        return conditions


def _used_token(since: datetime) -> ColumnElement[bool]:
    """Return the condition that a token of the service account was used after the time."""
    return exists().where(
        ApiToken.organization_id == Membership.organization_id,
        ApiToken.user_id == Membership.user_id,
        ApiToken.last_used_at > since,
    )


async def list_members(
    session: AsyncSession,
    organization: OrganizationId,
    criteria: MemberFilter,
    now: datetime,
    after: tuple[datetime, UserId] | None,
    limit: int,
) -> list[MemberEntry]:
    """Return at most `limit` members in the order they joined, always in two queries."""
    page = MEMBERS.where(*criteria.of(now)).limit(limit)
    if after is not None:
        page = page.where(tuple_(Membership.joined_at, Membership.user_id) > after)
    rows = (await session.execute(page, {"organization": organization, "now": now})).all()
    roles = await roles_held(session, organization, [row.user_id for row in rows], now)
    return [MemberEntry(*row, roles.get(row.user_id, ())) for row in rows]
