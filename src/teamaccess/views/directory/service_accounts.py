"""Service accounts and their tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.directory.members.find import HeldRoleView
from teamaccess.directory.members.listing import MemberEntry
from teamaccess.directory.service_accounts.tokens import (
    DEFAULT_DAYS,
    DEFAULT_OVERLAP_HOURS,
    LONGEST_OVERLAP_HOURS,
)
from teamaccess.storage import ApiToken, Membership, MembershipStatus
from teamaccess.views.directory.members import AssignedRole, RoleInput
from teamaccess.views.request import Name, Request, RoleReference

Days = Annotated[int, Meta(ge=1, le=36_500)]
"""How long a token is valid. The catalog's longest expiry is also a limit."""


class NewServiceAccount(Request):
    """A service account to create. A role may be written as its id alone."""

    name: Name
    roles: Annotated[list[RoleReference | RoleInput], Meta(max_length=100)]


class NewToken(Request):
    """A token to create. Its name says which program uses it."""

    name: Name
    expires_in_days: Days = DEFAULT_DAYS


class Rotation(Request):
    """How long the old token stays valid beside the new one, and how long the new one is valid."""

    overlap_hours: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP_HOURS)] = DEFAULT_OVERLAP_HOURS
    expires_in_days: Days = DEFAULT_DAYS


class ServiceAccountView(msgspec.Struct):
    """A service account."""

    id: str
    name: str | None
    status: str
    roles: list[AssignedRole]
    created_at: datetime
    last_active_at: datetime | None

    @classmethod
    def listed(cls, member: MemberEntry) -> "ServiceAccountView":
        """Return the view of an entry in the list of service accounts."""
        return cls(
            id=member.user_id,
            name=member.name,
            status=MembershipStatus.of(member.suspended_at),
            roles=[AssignedRole.of(held) for held in member.roles],
            created_at=member.joined_at,
            last_active_at=member.last_active_at,
        )

    @classmethod
    def of(
        cls,
        member: Membership,
        roles: Sequence[HeldRoleView],
        last_active_at: datetime | None = None,
    ) -> "ServiceAccountView":
        """Return the view of a service account with the roles that are in force."""
        return cls(
            id=member.user_id,
            name=member.user.name,
            status=member.status,
            roles=[AssignedRole.of(held) for held in roles],
            created_at=member.joined_at,
            last_active_at=last_active_at,
        )


class TokenView(msgspec.Struct):
    """A token of a service account."""

    id: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    """Rounded to the minute."""
    revoked_at: datetime | None
    secret: str | UnsetType = UNSET
    """Only in the response to its creation."""

    @classmethod
    def of(cls, token: ApiToken) -> "TokenView":
        """Return the view of a token, without its secret."""
        return cls(
            id=token.id,
            name=token.name,
            created_at=token.created_at,
            created_by=token.created_by,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            revoked_at=token.revoked_at,
        )
