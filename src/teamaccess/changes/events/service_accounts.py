"""Events about service accounts and their tokens."""

from datetime import datetime
from typing import ClassVar

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import RoleId, TokenId


class ServiceAccountCreated(EventDetails):
    """A service account was created."""

    kind: ClassVar = EventKind.SERVICE_ACCOUNT_CREATED
    subject: ClassVar = Subject.USER

    roles: list[RoleId]
    ends: dict[RoleId, datetime]


class ServiceAccountDeleted(EventDetails):
    """A service account was deleted with its tokens."""

    kind: ClassVar = EventKind.SERVICE_ACCOUNT_DELETED
    subject: ClassVar = Subject.USER

    roles: list[RoleId]


class TokenCreated(EventDetails):
    """A token was created for a service account."""

    kind: ClassVar = EventKind.TOKEN_CREATED
    subject: ClassVar = Subject.USER

    token: TokenId
    expires_at: datetime


class TokenRotated(EventDetails):
    """A token was created that replaces another one, which stays valid until `replaced_until`."""

    kind: ClassVar = EventKind.TOKEN_ROTATED
    subject: ClassVar = Subject.USER

    token: TokenId
    expires_at: datetime
    replaces: TokenId
    replaced_until: datetime


class TokenRevoked(EventDetails):
    """A token of a service account was revoked."""

    kind: ClassVar = EventKind.TOKEN_REVOKED
    subject: ClassVar = Subject.USER

    token: TokenId
    expires_at: datetime
