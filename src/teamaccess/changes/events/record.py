"""Write events: in the transaction of a change, or in one of their own where nothing was changed."""

from typing import Any, cast

from sqlalchemy import Table, insert

from teamaccess.changes.change import Change
from teamaccess.changes.events.kind import EventDetails
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

INSERT = insert(cast(Table, Event.__table__)).inline()
"""Built once. Nothing is read back: an event never changes."""


async def record(
    change: Change,
    details: EventDetails,
    chain: str,
    subject: str | None = None,
    reason: str | bytes | None = None,
) -> bytes | None:
    """Record the event of a change in the change's transaction; return the hash of the reason.

    `chain` is the organization's id, or `Event.PLATFORM`. `subject` is the id of the thing; its type
    belongs to the kind of event. `reason` is the text, or the hash of a text that is stored already.
    PostgreSQL adds the state of the changed rows to the event, so they are flushed first.
    """
    reason_hash = reason if isinstance(reason, bytes) else change.because(reason)
    await change.session.flush()
    row = _row(change.attribution, details, chain, subject, reason_hash)
    await change.session.execute(INSERT, row)
    change.told.add(chain)
    return reason_hash


async def record_alone(
    sessions: Sessions,
    attribution: Attribution,
    details: EventDetails,
    subject: str | None = None,
    chain: str = Event.PLATFORM,
) -> None:
    """Record an event in a transaction of its own, where nothing else is changed."""
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
