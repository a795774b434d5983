"""Who decided a ledger position, when, through which channel, and why."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import ARRAY, BigInteger, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.storage import LedgerApplication, LedgerEntry, OrganizationId, Reason

BATCH = 5000
"""Positions in one query."""


class Decision(msgspec.Struct, frozen=True):
    """The decision behind one ledger position, without its updates."""

    position: int
    decided_at: datetime
    enforced_at: datetime | None
    """When SpiceDB confirmed it."""
    actor: str
    channel: str
    request_id: str
    reason: str | None
    """The actor's words; None if none were given or they were erased."""


DECISIONS = (
    select(
        LedgerEntry.position,
        LedgerEntry.decided_at,
        LedgerApplication.enforced_at,
        LedgerEntry.actor,
        LedgerEntry.channel,
        LedgerEntry.request_id,
        Reason.text,
    )
    .join(LedgerApplication, SAME_POSITION)
    .outerjoin(Reason, Reason.hash == LedgerEntry.reason_hash)
    .where(
        LedgerEntry.organization_id == bindparam("organization"),
        LedgerEntry.position == any_(bindparam("positions", type_=ARRAY(BigInteger))),
    )
)


async def find_decisions(
    session: AsyncSession, organization: OrganizationId, positions: Iterable[int]
) -> dict[int, Decision]:
    """Return the decisions behind these positions of a ledger, by position."""
    ordered = sorted(set(positions))
    decisions: dict[int, Decision] = {}
    for start in range(0, len(ordered), BATCH):
        parameters = {"organization": organization, "positions": ordered[start : start + BATCH]}
        rows = await session.execute(DECISIONS, parameters)
        decisions |= {row.position: Decision(*row) for row in rows}
    return decisions
