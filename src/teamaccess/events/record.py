"""Write events: with the change they tell of, or alone when nothing was changed."""

from typing import Any

from sqlalchemy import insert

from teamaccess.ledger import Attribution, Change, Sessions
from teamaccess.models import Event


def record(
    change: Change,
    kind: str,
    chain: str,
    subject: str | None = None,
    reason: str | None = None,
    **details: Any,
) -> None:
    """Tell what this change does, in the same transaction. `chain` is the organization's id."""
    change.session.add(
        Event(
            chain=chain,
            kind=kind,
            subject=subject,
            details=details,
            reason_hash=change.because(reason),
            actor=change.attribution.actor,
            channel=change.attribution.channel,
            request_id=change.attribution.request_id,
        )
    )


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
        await session.execute(
            insert(Event),
            {
                "chain": chain,
                "kind": kind,
                "subject": subject,
                "details": details,
                "actor": attribution.actor,
                "channel": attribution.channel,
                "request_id": attribution.request_id,
            },
        )
        await session.commit()
