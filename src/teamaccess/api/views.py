"""What the API sends and takes, as types; their fields are the promised interface."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.catalog import Action, Catalog, Resource, Role
from teamaccess.members.listing import Listed
from teamaccess.models import (
    ApplicationStatus,
    Invitation,
    Membership,
    MembershipStatus,
    Organization,
    User,
)
from teamaccess.text import LONGEST_NAME, LONGEST_REASON

Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
RoleName = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]


INFINITY = datetime.max.replace(tzinfo=UTC)
"""What the driver writes as PostgreSQL's `infinity`, so that it is no time any more."""


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something sent to us; a field that we do not know is a mistake, not a wish."""


class NewOrganization(Request):
    """An organization to be made."""

    id: Annotated[str, Meta(min_length=3, max_length=64)]
    name: Name


class OrganizationPatch(Request):
    """What to change of an organization."""

    name: Name


class RoleWanted(Request):
    """A role that a member shall hold."""

    role: RoleName
    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        """Keep the end in UTC; raises ValueError, which is a mistake in the body, where it has none."""
        if self.expires_at is not None:
            try:
                self.expires_at = self.expires_at.astimezone(UTC)
            except OverflowError:
                self.expires_at = INFINITY
            if self.expires_at == INFINITY:
                raise ValueError("This time is beyond the calendar")


class RolesWanted(Request):
    """All roles that a member shall hold from now on."""

    roles: Annotated[list[RoleWanted], Meta(max_length=100)]
    reason: Reason | None = None


class RoleOffered(Request):
    """A role that an invitation offers."""

    role: RoleName


class NewInvitation(Request):
    """Somebody to invite. A role may be written as its id alone."""

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    roles: Annotated[list[RoleName | RoleOffered], Meta(min_length=1, max_length=100)]
    expires_in_hours: Annotated[int, Meta(ge=1, le=30 * 24)] = 7 * 24


class AcceptInvitation(Request):
    """The secret of an invitation's link, and how a new user wants to be called."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Name | None = None


class CatalogView(msgspec.Struct):
    """The access model of this deployment."""

    name: str
    version: str
    resources: list[Resource]
    actions: list[Action]
    roles: list[Role]

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogView":
        """Return the catalog as it is shown."""
        return cls(
            name=catalog.name,
            version=catalog.version,
            resources=list(catalog.resources.values()),
            actions=list(catalog.actions.values()),
            roles=list(catalog.roles.values()),
        )


class OrganizationView(msgspec.Struct):
    """An organization."""

    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, organization: Organization) -> "OrganizationView":
        """Return the organization as it is shown."""
        return cls(organization.id, organization.name, organization.created_at)


class AssignedRole(msgspec.Struct):
    """A role that a member holds."""

    role: str
    granted_at: datetime
    expires_at: datetime | None


class MemberView(msgspec.Struct):
    """A member of an organization."""

    user: str
    email: str
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


class InvitationView(msgspec.Struct):
    """An invitation, without its secret."""

    id: str
    email: str
    roles: list[str]
    status: str
    invited_by: str
    created_at: datetime
    sent_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: str | None
    cancelled_at: datetime | None
    delivery: Literal["sent", "failed"] | UnsetType = UNSET
    """Whether the mail was taken, told to who has just caused it; a failed one can be resent."""

    @classmethod
    def of(cls, invitation: Invitation, now: datetime) -> "InvitationView":
        """Return the invitation as it is shown."""
        return cls(
            id=invitation.id,
            email=invitation.email,
            roles=list(invitation.roles),
            status=invitation.status(now),
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            sent_at=invitation.sent_at,
            expires_at=invitation.expires_at,
            accepted_at=invitation.accepted_at,
            accepted_by=invitation.accepted_by,
            cancelled_at=invitation.cancelled_at,
        )


class AcceptedView(msgspec.Struct):
    """What an accepted invitation came to."""

    organization: str
    user: str
    access_token: str


class PermissionsView(msgspec.Struct):
    """What the caller may do in an organization."""

    organization: str
    user: str
    actions: list[str]


class ChangeView(msgspec.Struct):
    """How far a ledger position has come on its way into SpiceDB."""

    status: ApplicationStatus
    zed_token: str | None


class MeView(msgspec.Struct):
    """The signed-in user."""

    id: str
    email: str
    name: str | None

    @classmethod
    def of(cls, user: User) -> "MeView":
        """Return the user as shown to themselves."""
        return cls(user.id, user.email, user.name)
