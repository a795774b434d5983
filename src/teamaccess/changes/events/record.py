"""Record events, in the transaction of their change or in one of their own."""

from typing import Any, cast

from sqlalchemy import Table, insert

from teamaccess.changes.change import Change
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

INSERT_EVENT = insert(cast(Table, Event.__table__)).inline()
"""The statement is built once. It returns nothing, because an event is never changed."""


async def record(
    change: Change,
    kind: str,
    chain: str,
    subject: str | None = None,
    reason: str | bytes | None = None,
    **details: Any,
) -> bytes | None:
    """Record an event about this change, in the same transaction. `chain` is the organization's id.

    `reason` is the text of the reason or its hash. Returns the hash. PostgreSQL adds the attestations of
    the event's rows, so changed rows are written first.
    """
    reason_hash = reason if isinstance(reason, bytes) else change.because(reason)
    await change.session.flush()
    event = _event(change.attribution, kind, chain, subject, details, reason_hash)
    await change.session.execute(INSERT_EVENT, event)
    change.told.add(chain)
    return reason_hash


async def record_alone(
    sessions: Sessions,
    attribution: Attribution,
    kind: str,
    chain: str = Event.PLATFORM,
    subject: str | None = None,
    **details: Any,
) -> None:
    """Record an event without a change, in a transaction of its own."""
    async with sessions() as session:
        await session.execute(INSERT_EVENT, _event(attribution, kind, chain, subject, details))
        await session.commit()


def _event(
    attribution: Attribution,
    kind: str,
    chain: str,
    subject: str | None,
    details: dict[str, Any],
    reason_hash: bytes | None = None,
) -> dict[str, Any]:
    return {
        "chain": chain,
        "kind": kind,
        "subject": subject,
        "details": details,
        "reason_hash": reason_hash,
        "actor": attribution.actor,
        "channel": attribution.channel,
        "request_id": attribution.request_id,
    }
