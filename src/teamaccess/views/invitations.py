"""Invitations, and the result of accepting one."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.storage import Invitation
from teamaccess.views.request import Name, Request, RoleName


class RoleOffered(Request):
    """A role that an invitation offers."""

    role: RoleName


class NewInvitation(Request):
    """An invitation to send. A role may be written as its id alone."""

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    roles: Annotated[list[RoleName | RoleOffered], Meta(min_length=1, max_length=100)]
    expires_in_hours: Annotated[int, Meta(ge=1, le=30 * 24)] = 7 * 24


class AcceptInvitation(Request):
    """The secret from the link in the mail, and the name that a new user chooses."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    name: Name | None = None


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
    """Whether the mail server accepted the mail. Only the response to the sender has it."""

    @classmethod
    def of(cls, invitation: Invitation, now: datetime) -> "InvitationView":
        """Return the view of an invitation, with its status at `now`."""
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
    """The result of accepting an invitation: the membership, and an access token."""

    organization: str
    user: str
    access_token: str
