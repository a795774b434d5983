"""Invitations, and the result of accepting one."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from teamaccess.directory.invitations.obstacles import InvitationObstacle
from teamaccess.storage import Delivery, DeliveryProblem, Invitation, InvitationDelivery
from teamaccess.views.request import Name, Request, RoleReference


class RoleOffered(Request):
    """A role that an invitation offers."""

    role: RoleReference


class NewInvitation(Request):
    """An invitation to send. A role may be written as its id alone."""

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    roles: Annotated[list[RoleReference | RoleOffered], Meta(min_length=1, max_length=100)]
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
    invited_via: str | None = None
    """The service account that sent it on the inviter's behalf."""
    delivery: Delivery | None = None
    """What became of the newest mail. Null for a mail of an earlier version, which did not store it."""
    delivery_at: datetime | None = None
    delivery_problem: DeliveryProblem | None = None
    """Why the mail failed."""
    needs_new_sender: bool = False
    """Whether a member who may give the roles has to send it again: its inviter lost the right."""
    obstacle: InvitationObstacle | None = None
    """Why a pending invitation cannot be accepted at this moment. The list shows it."""

    def show_delivery(self, delivery: InvitationDelivery, now: datetime) -> None:
        """Show what became of the mail."""
        self.delivery, self.delivery_problem = delivery.outcome_at(now)
        self.delivery_at = delivery.at

    @classmethod
    def of(
        cls,
        invitation: Invitation,
        now: datetime,
        delivery: InvitationDelivery | None = None,
        obstacle: InvitationObstacle | None = None,
    ) -> "InvitationView":
        """Return the view of an invitation, with its status at `now`."""
        view = cls(
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
            invited_via=invitation.invited_via,
            needs_new_sender=obstacle is not None and obstacle.needs_new_sender,
            obstacle=obstacle,
        )
        if delivery is not None:
            view.show_delivery(delivery, now)
        return view


def with_delivery(
    stored: dict[str, Any], delivery: InvitationDelivery | None, now: datetime
) -> dict[str, Any]:
    """Return the stored view of an invitation, with what has become of its mail since."""
    view = msgspec.convert(stored, InvitationView)
    if delivery is not None:
        view.show_delivery(delivery, now)
    body: dict[str, Any] = msgspec.to_builtins(view)
    return body


class AcceptedView(msgspec.Struct):
    """The result of accepting an invitation: the membership, and an access token."""

    organization: str
    user: str
    access_token: str
