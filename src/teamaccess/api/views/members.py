"""Members and the roles they hold."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.api.views.request import Reason, Request, RoleName, WithEnd
from teamaccess.members.listing import Listed
from teamaccess.models import (
    Membership,
    MembershipStatus,
)


class RoleWanted(WithEnd, kw_only=True):
    """A role that somebody shall hold."""

    role: RoleName


class RolesWanted(Request):
    """All roles that a member shall hold from now on."""

    roles: Annotated[list[RoleWanted], Meta(max_length=100)]
    reason: Reason | None = None


class AssignedRole(msgspec.Struct):
    """A role that a member holds."""

    role: str
    granted_at: datetime
    expires_at: datetime | None


class MemberView(msgspec.Struct):
    """A member of an organization."""

    user: str
    email: str | None
    name: str | None
    status: str
    roles: list[AssignedRole]
    joined_at: datetime
    expires_at: datetime | None
    suspended_at: datetime | None
    last_active_at: datetime | None

    @classmethod
    def listed(cls, member: Listed) -> "MemberView":
        """Return a member of a list."""
        return cls(
            user=member.user_id,
            email=member.email,
            name=member.name,
            status=MembershipStatus.since(member.suspended_at),
            roles=[AssignedRole(*held) for held in member.roles],
            joined_at=member.joined_at,
            expires_at=member.expires_at,
            suspended_at=member.suspended_at,
            last_active_at=member.last_active_at,
        )

    @classmethod
    def of(cls, member: Membership, now: datetime) -> "MemberView":
        """Return the member with the roles that are in force."""
        return cls(
            user=member.user_id,
            email=member.user.email,
            name=member.user.name,
            status=member.status,
            roles=[
                AssignedRole(each.role, each.granted_at, each.expires_at)
                for each in sorted(member.assignments, key=lambda each: each.role)
                if each.active(now)
            ],
            joined_at=member.joined_at,
            expires_at=member.expires_at,
            suspended_at=member.suspended_at,
            last_active_at=member.activity.last_active_at if member.activity else None,
        )
