"""Write events: with the change they tell of, or alone when nothing was changed."""

from typing import Any, cast

from sqlalchemy import Table, insert

from teamaccess.changes.change import Change
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

INSERT_EVENT = insert(cast(Table, Event.__table__)).inline()
"""Built once, and nothing of it is read back: an event is never changed."""


async def record(
    change: Change,
    kind: str,
    chain: str,
    subject: str | None = None,
    reason: str | bytes | None = None,
    **details: Any,
) -> bytes | None:
    """Tell what this change does, in the same transaction. `chain` is the organization's id.

    Returns the hash by which it names the reason, which may be given instead of the reason. PostgreSQL
    adds to the event what the rows are that it is about, so they are written first.
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
    """Tell what came to nothing, or concerned no organization, in a transaction of its own."""
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
