"""Members and the roles they hold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.common.formats.times import Instant
from teamaccess.directory.members.find import HeldRoleView, RoleOrigin
from teamaccess.directory.members.listing import MemberEntry
from teamaccess.storage import Membership, MembershipStatus, UserKind
from teamaccess.views.request import Reason, Request, RoleReference, WithExpiry


class RoleInput(WithExpiry, kw_only=True):
    """A role to hold, with an optional expiry."""

    role: RoleReference


class RolesInput(Request):
    """The roles that replace all roles of a member or team."""

    roles: Annotated[list[RoleReference | RoleInput], Meta(max_length=100)]
    reason: Reason | None = None


class ReasonInput(Request):
    """A reason for the audit."""

    reason: Reason | None = None


class MemberPatch(WithExpiry, kw_only=True):
    """When a membership ends; null removes the end. The field is required."""

    expires_at: Instant | None
    reason: Reason | None = None


class RoleSource(msgspec.Struct, kw_only=True):
    """How a member comes to hold a role: by a direct assignment or through a team."""

    kind: Literal["direct", "team"]
    team: str | UnsetType = UNSET
    granted_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, source: RoleOrigin) -> "RoleSource":
        """Return the view of a source."""
        return cls(
            kind="direct" if source.team is None else "team",
            team=UNSET if source.team is None else source.team,
            granted_at=source.granted_at,
            expires_at=source.expires_at,
        )


class AssignedRole(msgspec.Struct):
    """A role that a member holds. Its times are those of the direct assignment if there is one."""

    role: str
    granted_at: datetime
    expires_at: datetime | None
    sources: list[RoleSource]

    @classmethod
    def of(cls, held: HeldRoleView) -> "AssignedRole":
        """Return the view of a role that a member holds."""
        sources = [RoleSource.of(source) for source in held.sources]
        return cls(held.role, held.granted_at, held.expires_at, sources)


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
    kind: UserKind

    @classmethod
    def listed(cls, member: MemberEntry) -> "MemberView":
        """Return the view of an entry in the list of members."""
        return cls(
            user=member.user_id,
            kind=UserKind.of(member.service_account_of),
            email=member.email,
            name=member.name,
            status=MembershipStatus.of(member.suspended_at),
            roles=[AssignedRole.of(held) for held in member.roles],
            joined_at=member.joined_at,
            expires_at=member.expires_at,
            suspended_at=member.suspended_at,
            last_active_at=member.last_active_at,
        )

    @classmethod
    def of(cls, member: Membership, roles: Sequence[HeldRoleView]) -> "MemberView":
        """Return the view of a member with the roles that are in force."""
        return cls(
            user=member.user_id,
            kind=member.user.kind,
            email=member.user.email,
            name=member.user.name,
            status=member.status,
            roles=[AssignedRole.of(held) for held in roles],
            joined_at=member.joined_at,
            expires_at=member.expires_at,
            suspended_at=member.suspended_at,
            last_active_at=member.activity.last_active_at if member.activity else None,
        )
