"""Record events: their kinds, their details, and how they enter a chain.

An event is recorded in the transaction of its change, or in one of its own.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, cast, dataclass_transform

import msgspec
from sqlalchemy import Table, insert

from teamaccess.changes.change import Change
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

INSERT = insert(cast(Table, Event.__table__)).inline()
"""The statement is built once. It returns no columns, because a recorded event is never used again."""


class EventKind(StrEnum):
    """What an event records. The stored words never change: they are part of the chains' hashes."""

    ORGANIZATION_CREATED = "organization_created"
    ORGANIZATION_RENAMED = "organization_renamed"
    ORGANIZATION_DELETED = "organization_deleted"
    LEDGER_RETRIED = "ledger_retried"
    LEDGER_SKIPPED = "ledger_skipped"
    FINDING_RESOLVED = "finding_resolved"
    DRIFT_MENDED = "drift_mended"
    ENGINE_REBUILT = "engine_rebuilt"
    REBUILD_REFUSED = "rebuild_refused"
    FOREIGN_TENANT_PURGED = "foreign_tenant_purged"
    SCHEMA_APPLIED = "schema_applied"

    ADMINISTRATOR_GRANTED = "administrator_granted"
    MEMBERS_IMPORTED = "members_imported"
    ROLES_CHANGED = "roles_changed"
    ROLE_ENDED = "role_ended"
    MEMBERSHIP_END_CHANGED = "membership_end_changed"
    MEMBERSHIP_ENDED = "membership_ended"
    MEMBER_SUSPENDED = "member_suspended"
    MEMBER_REACTIVATED = "member_reactivated"
    MEMBER_REMOVED = "member_removed"
    MEMBER_LEFT = "member_left"

    MEMBER_INVITED = "member_invited"
    INVITATION_RESENT = "invitation_resent"
    INVITATION_CANCELLED = "invitation_cancelled"
    INVITATION_OFFER_CHANGED = "invitation_offer_changed"
    INVITATION_EXPIRED = "invitation_expired"
    INVITATION_ACCEPTED = "invitation_accepted"

    ACCESS_REQUESTED = "access_requested"
    ACCESS_APPROVED = "access_approved"
    ACCESS_DECLINED = "access_declined"
    ACCESS_WITHDRAWN = "access_withdrawn"

    ROLE_CREATED = "role_created"
    ROLE_CHANGED = "role_changed"
    ROLE_DELETED = "role_deleted"

    TEAM_CREATED = "team_created"
    TEAM_RENAMED = "team_renamed"
    TEAM_ROLES_CHANGED = "team_roles_changed"
    TEAM_ROLE_ENDED = "team_role_ended"
    TEAM_DELETED = "team_deleted"
    TEAM_MEMBER_ADDED = "team_member_added"
    TEAM_MEMBER_CHANGED = "team_member_changed"
    TEAM_MEMBER_REMOVED = "team_member_removed"
    TEAM_LEFT = "team_left"
    TEAM_PLACE_ENDED = "team_place_ended"

    RESOURCE_REGISTERED = "resource_registered"
    RESOURCE_REMOVED = "resource_removed"
    RESOURCES_CHANGED = "resources_changed"
    GRANTS_CHANGED = "grants_changed"
    GRANT_ENDED = "grant_ended"

    SERVICE_ACCOUNT_CREATED = "service_account_created"
    SERVICE_ACCOUNT_DELETED = "service_account_deleted"
    TOKEN_CREATED = "token_created"  # noqa: S105 - not a password
    TOKEN_ROTATED = "token_rotated"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    LOGIN_LINKED = "login_linked"
    LOGIN_MOVED = "login_moved"
    USER_PROFILE_CHANGED = "user_profile_changed"
    ADDRESS_RELEASED = "address_released"
    TOKEN_ISSUED = "token_issued"  # noqa: S105
    AUDITOR_GRANTED = "auditor_granted"
    AUDITOR_REVOKED = "auditor_revoked"

    REFUSED = "refused"
    SIGN_IN_REFUSED = "sign_in_refused"
    ACCEPTANCE_REFUSED = "acceptance_refused"


class Subject(StrEnum):
    """The type of the thing that an event is about; the event names it as type and id."""

    ACCESS_REQUEST = "access_request"
    FINDING = "finding"
    INVITATION = "invitation"
    ORGANIZATION = "organization"
    ROLE = "role"
    SCHEMA = "schema"
    TEAM = "team"
    USER = "user"
    REFERENCE = ""
    """The type differs from event to event, so `record` takes a whole reference."""

    def named(self, id: str | None) -> str | None:
        """Return the subject as an event stores it, such as `user:usr_1`."""
        return id if id is None or self is Subject.REFERENCE else f"{self}:{id}"


@dataclass_transform(frozen_default=True, kw_only_default=True)
class EventDetails(msgspec.Struct, frozen=True):
    """The details of one kind of event. The docstring of each class says when it is recorded.

    Fields are passed by keyword. A field that is UNSET is left out of the event.
    """

    kind: ClassVar[EventKind]
    subject: ClassVar[Subject]

    def stored(self) -> dict[str, Any]:
        """Return the details as the event stores them, with times in ISO 8601."""
        details: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(datetime,))
        return {name: _plain(value) for name, value in details.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            # SECURITY: the chains' hashes cover these characters, so +00:00 must not become Z
            return value.isoformat()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value


async def record(
    change: Change,
    details: EventDetails,
    chain: str,
    subject: str | None = None,
    reason: str | bytes | None = None,
) -> bytes | None:
    """Record an event about this change, in the same transaction. Return the hash of the reason.

    `chain` is the organization's id, or `Event.PLATFORM`. `subject` is an id whose type follows from the
    kind of the event. `reason` is the text of the reason, or the hash of a stored one. PostgreSQL adds
    the attestations of the event's rows, so changed rows are written first.
    """
    reason_hash = reason if isinstance(reason, bytes) else change.store_reason(reason)
    await change.session.flush()
    row = _row(change.attribution, details, chain, subject, reason_hash)
    await change.session.execute(INSERT, row)
    change.event_chains.add(chain)
    return reason_hash


async def record_each(
    change: Change, details: Iterable[tuple[EventDetails, str]], chain: str
) -> None:
    """Record events about many subjects of one change, each with its subject, in one round trip."""
    await change.session.flush()
    rows = [_row(change.attribution, each, chain, subject) for each, subject in details]
    if rows:
        await change.session.execute(INSERT, rows)
        change.event_chains.add(chain)


async def record_alone(
    sessions: Sessions,
    attribution: Attribution,
    details: EventDetails,
    subject: str | None = None,
    chain: str = Event.PLATFORM,
) -> None:
    """Record an event without a change, in a transaction of its own."""
    async with sessions() as session:
        await session.execute(INSERT, _row(attribution, details, chain, subject))
        await session.commit()


def _row(
    attribution: Attribution,
    details: EventDetails,
    chain: str,
    subject: str | None,
    reason_hash: bytes | None = None,
) -> dict[str, Any]:
    return {
        "chain": chain,
        "kind": details.kind.value,
        "subject": details.subject.named(subject),
        "details": details.stored(),
        "reason_hash": reason_hash,
        "actor": attribution.actor,
        "channel": attribution.channel,
        "request_id": attribution.request_id,
    }
