"""Events about users, their sessions, auditors, and refused requests."""

from datetime import datetime
from typing import Any, ClassVar

from msgspec import UNSET, UnsetType

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import UserId


class UserSignedIn(EventDetails):
    """A user signed in. `by` says how; `invitation` is the link of an invitation."""

    kind: ClassVar = EventKind.SIGNED_IN
    subject: ClassVar = Subject.USER

    by: str


class UserSignedOut(EventDetails):
    """A user ended all their sessions. A user has at most a few of these events an hour."""

    kind: ClassVar = EventKind.SIGNED_OUT
    subject: ClassVar = Subject.USER


class LoginLinked(EventDetails):
    """A user signed in through an OpenID issuer for the first time, or an operator linked a login.

    `login` is the SHA-256 of the issuer, a newline and the subject, so the event attests no other login.
    `replaced` is true if the user had another login before. `unusable` names the claims of the token, and
    the `external_id`, that this service could not use.
    """

    kind: ClassVar = EventKind.LOGIN_LINKED
    subject: ClassVar = Subject.USER

    issuer: str
    login: str
    replaced: bool | UnsetType = UNSET
    unusable: list[str] | UnsetType = UNSET


class LoginMoved(EventDetails):
    """A login was given to another user, so this user has none any more."""

    kind: ClassVar = EventKind.LOGIN_MOVED
    subject: ClassVar = Subject.USER

    to: UserId


class UserProfileChanged(EventDetails):
    """A user's address, name or external id was taken over from their login. `changed` names which."""

    kind: ClassVar = EventKind.USER_PROFILE_CHANGED
    subject: ClassVar = Subject.USER

    changed: list[str]


class AddressReleased(EventDetails):
    """An operator took the address from a user, so that the mailbox's new owner can use it."""

    kind: ClassVar = EventKind.ADDRESS_RELEASED
    subject: ClassVar = Subject.USER


class TokenIssued(EventDetails):
    """An operator issued an access token for a user or an operator."""

    kind: ClassVar = EventKind.TOKEN_ISSUED
    subject: ClassVar = Subject.REFERENCE

    hours: int


class AuditorGranted(EventDetails):
    """An operator let a user audit all organizations."""

    kind: ClassVar = EventKind.AUDITOR_GRANTED
    subject: ClassVar = Subject.USER

    until: datetime | None


class AuditorRevoked(EventDetails):
    """An operator ended a user's right to audit all organizations."""

    kind: ClassVar = EventKind.AUDITOR_REVOKED
    subject: ClassVar = Subject.USER


class RefusalDetails(EventDetails, kw_only=True):
    """The details of every refusal. `suppressed` counts refusals that were not recorded before it."""

    suppressed: int | UnsetType = UNSET


class Refused(RefusalDetails, kw_only=True):
    """A request was refused: the caller may not do this, or cannot see the organization."""

    kind: ClassVar = EventKind.REFUSED
    subject: ClassVar = Subject.REFERENCE

    code: str
    facts: dict[str, Any] | UnsetType = UNSET
    method: str | UnsetType = UNSET
    route: str | UnsetType = UNSET


class SignInRefused(RefusalDetails, kw_only=True):
    """A token was refused. `cause` says why."""

    kind: ClassVar = EventKind.SIGN_IN_REFUSED
    subject: ClassVar = Subject.REFERENCE

    cause: str


class AcceptanceRefused(RefusalDetails, kw_only=True):
    """An invitation could not be accepted. `code` is the error code."""

    kind: ClassVar = EventKind.ACCEPTANCE_REFUSED
    subject: ClassVar = Subject.INVITATION

    code: str
