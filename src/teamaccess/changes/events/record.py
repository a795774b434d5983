"""Record events, in the transaction of their change or in one of their own."""

from typing import Any, cast

from sqlalchemy import Table, insert

from teamaccess.changes.change import Change
from teamaccess.changes.events.kind import EventDetails
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

INSERT = insert(cast(Table, Event.__table__)).inline()
"""The statement is built once. It returns nothing, because an event is never changed."""


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
