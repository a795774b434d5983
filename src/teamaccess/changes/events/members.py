"""Events about members, invitations and access requests."""

from datetime import datetime
from typing import ClassVar

from msgspec import UNSET, UnsetType

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import RoleId, UserId


class AdministratorGranted(EventDetails):
    """An operator made a user an administrator without an end date."""

    kind: ClassVar = EventKind.ADMINISTRATOR_GRANTED
    subject: ClassVar = Subject.USER


class MembersImported(EventDetails):
    """An operator imported members from a file."""

    kind: ClassVar = EventKind.MEMBERS_IMPORTED
    subject: ClassVar = Subject.ORGANIZATION

    members: int


class RolesChanged(EventDetails):
    """The roles of a member, or their end dates, were changed."""

    kind: ClassVar = EventKind.ROLES_CHANGED
    subject: ClassVar = Subject.USER

    before: list[RoleId]
    after: list[RoleId]
    ends: dict[RoleId, datetime]


class RoleEnded(EventDetails):
    """A role of a member reached its end date."""

    kind: ClassVar = EventKind.ROLE_ENDED
    subject: ClassVar = Subject.USER

    role: RoleId
    expires_at: datetime | None


class MembershipEndChanged(EventDetails):
    """The end date of a membership was set, changed or removed."""

    kind: ClassVar = EventKind.MEMBERSHIP_END_CHANGED
    subject: ClassVar = Subject.USER

    before: datetime | None
    after: datetime | None


class MembershipEnded(EventDetails):
    """A membership reached its end date."""

    kind: ClassVar = EventKind.MEMBERSHIP_ENDED
    subject: ClassVar = Subject.USER

    roles: list[RoleId]
    expires_at: datetime | None


class MemberSuspended(EventDetails):
    """A member was suspended."""

    kind: ClassVar = EventKind.MEMBER_SUSPENDED
    subject: ClassVar = Subject.USER


class MemberReactivated(EventDetails):
    """A suspended member was reactivated."""

    kind: ClassVar = EventKind.MEMBER_REACTIVATED
    subject: ClassVar = Subject.USER

    expires_at: datetime | None


class MemberRemoved(EventDetails):
    """A member was removed by somebody else."""

    kind: ClassVar = EventKind.MEMBER_REMOVED
    subject: ClassVar = Subject.USER

    roles: list[RoleId]


class MemberLeft(EventDetails):
    """A member left."""

    kind: ClassVar = EventKind.MEMBER_LEFT
    subject: ClassVar = Subject.USER

    roles: list[RoleId]


class MemberInvited(EventDetails):
    """An address was invited. The event does not contain the address."""

    kind: ClassVar = EventKind.MEMBER_INVITED
    subject: ClassVar = Subject.INVITATION

    roles: list[RoleId]
    expires_at: datetime


class InvitationResent(EventDetails):
    """An invitation was resent with a new link. `instead_of` is the previous inviter if it changed."""

    kind: ClassVar = EventKind.INVITATION_RESENT
    subject: ClassVar = Subject.INVITATION

    expires_at: datetime
    instead_of: UserId | UnsetType = UNSET


class InvitationCancelled(EventDetails):
    """An invitation was cancelled, by a person or because its only role was deleted."""

    kind: ClassVar = EventKind.INVITATION_CANCELLED
    subject: ClassVar = Subject.INVITATION

    deleted_role: RoleId | UnsetType = UNSET


class InvitationOfferChanged(EventDetails):
    """A role that an invitation offered was deleted, so the invitation offers other roles."""

    kind: ClassVar = EventKind.INVITATION_OFFER_CHANGED
    subject: ClassVar = Subject.INVITATION

    roles: list[RoleId]
    deleted_role: RoleId


class InvitationExpired(EventDetails):
    """An invitation reached its end without being accepted."""

    kind: ClassVar = EventKind.INVITATION_EXPIRED
    subject: ClassVar = Subject.INVITATION

    roles: list[RoleId]
    expires_at: datetime


class InvitationAccepted(EventDetails):
    """An invitation was accepted, so the user is a member."""

    kind: ClassVar = EventKind.INVITATION_ACCEPTED
    subject: ClassVar = Subject.INVITATION

    user: UserId
    roles: list[RoleId]
    invited_by: UserId


class AccessRequested(EventDetails):
    """A member requested a role or an action for some hours."""

    kind: ClassVar = EventKind.ACCESS_REQUESTED
    subject: ClassVar = Subject.ACCESS_REQUEST

    hours: int
    role: RoleId | UnsetType = UNSET
    action: str | UnsetType = UNSET


class AccessApproved(EventDetails):
    """An access request was approved, so the member holds the role until a time."""

    kind: ClassVar = EventKind.ACCESS_APPROVED
    subject: ClassVar = Subject.ACCESS_REQUEST

    user: UserId
    role: RoleId
    until: datetime


class AccessDeclined(EventDetails):
    """An access request was declined."""

    kind: ClassVar = EventKind.ACCESS_DECLINED
    subject: ClassVar = Subject.ACCESS_REQUEST

    user: UserId


class AccessWithdrawn(EventDetails):
    """An access request was withdrawn: by the member, or because of another change (`because`)."""

    kind: ClassVar = EventKind.ACCESS_WITHDRAWN
    subject: ClassVar = Subject.ACCESS_REQUEST

    user: UserId
    because: str | UnsetType = UNSET
