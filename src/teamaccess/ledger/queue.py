"""What is left to the workers, and who of them has it."""

from datetime import timedelta

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import aliased

from teamaccess.models import DONE, LedgerApplication, OrganizationId

HANDED_OVER = "teamaccess_ledger"
"""The channel on which workers are told that something is left to them."""

_other = aliased(LedgerApplication)
_FIRST = update(LedgerApplication).where(
    LedgerApplication.organization_id == bindparam("organization"),
    LedgerApplication.position
    == select(func.min(_other.position))
    .where(_other.organization_id == bindparam("organization"), _other.status.not_in(DONE))
    .scalar_subquery(),
)
DUE_NOW = _FIRST.values(due_at=func.clock_timestamp())
PUT_OFF = _FIRST.values(due_at=func.clock_timestamp() + bindparam("pause"))
NOTIFY = select(func.pg_notify(HANDED_OVER, bindparam("organization")))
TAKE_UP = text("""
UPDATE ledger_applications SET attempts = attempts + 1, due_at = clock_timestamp() + :lease
WHERE (organization_id, position) IN (
  SELECT organization_id, position FROM ledger_applications first
  WHERE status = 'pending' AND due_at <= clock_timestamp() AND NOT EXISTS (
    SELECT FROM ledger_applications before
    WHERE before.organization_id = first.organization_id AND before.position < first.position
    AND before.status NOT IN ('applied', 'skipped'))
  ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING organization_id, attempts
""")
"""The first open entry stands for all of its organization: who has that one brings in the rest."""


async def hand_over(
    connection: AsyncConnection | AsyncSession, organization: OrganizationId
) -> None:
    """Leave what is pending to the workers, from now on, and tell them."""
    await connection.execute(DUE_NOW, {"organization": organization})
    await connection.execute(NOTIFY, {"organization": organization})


async def take_up(
    connection: AsyncConnection, most: int, lease: timedelta
) -> list[tuple[OrganizationId, int]]:
    """Return organizations with something due, and how often that was taken up by now.

    For the time of the lease no other worker gets them; after it any may.
    """
    rows = await connection.execute(TAKE_UP, {"most": most, "lease": lease})
    return [(OrganizationId(row.organization_id), row.attempts) for row in rows]


async def put_off(
    connection: AsyncConnection, organization: OrganizationId, pause: timedelta
) -> None:
    """Let what is pending rest for so long."""
    await connection.execute(PUT_OFF, {"organization": organization, "pause": pause})
