"""Who decided what stands: when, through which door, and why."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import ARRAY, BigInteger, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.storage import LedgerApplication, LedgerEntry, OrganizationId, Reason

AT_A_TIME = 5000


class Origin(msgspec.Struct, frozen=True):
    """One position of a ledger, without what it changed."""

    position: int
    decided_at: datetime
    enforced_at: datetime | None
    """When SpiceDB confirmed it."""
    actor: str
    channel: str
    request_id: str
    reason: str | None
    """In the words of who decided; None where none was given or it was erased."""


ORIGINS = (
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


async def origins(
    session: AsyncSession, organization: OrganizationId, positions: Iterable[int]
) -> dict[int, Origin]:
    """Return what is known of these positions."""
    wanted = sorted(set(positions))
    found: dict[int, Origin] = {}
    for start in range(0, len(wanted), AT_A_TIME):
        names = {"organization": organization, "positions": wanted[start : start + AT_A_TIME]}
        found |= {row.position: Origin(*row) for row in await session.execute(ORIGINS, names)}
    return found
