"""What is left to the workers, and who of them has it."""

from datetime import timedelta

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import aliased

from teamaccess.storage import DONE, LedgerApplication, OrganizationId

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
WITH RECURSIVE open AS (
  (SELECT organization_id, position FROM ledger_applications
   WHERE status NOT IN ('applied', 'skipped') AND organization_id > :after
   ORDER BY organization_id, position LIMIT 1)
  UNION ALL
  SELECT following.organization_id, following.position FROM open CROSS JOIN LATERAL (
    SELECT organization_id, position FROM ledger_applications
    WHERE status NOT IN ('applied', 'skipped') AND organization_id > open.organization_id
    ORDER BY organization_id, position LIMIT 1) following
), taken AS MATERIALIZED (
  SELECT first.* FROM open CROSS JOIN LATERAL (
    SELECT organization_id, position FROM ledger_applications
    WHERE organization_id = open.organization_id AND position = open.position
      AND status = 'pending' AND due_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED) first
  LIMIT :most
)
UPDATE ledger_applications applications
SET attempts = attempts + 1, due_at = clock_timestamp() + :lease
FROM taken WHERE applications.organization_id = taken.organization_id
  AND applications.position = taken.position
RETURNING applications.organization_id, attempts
""")
"""The first open entry stands for all of its organization: who has that one brings in the rest. The index
leads from one organization's first to the next one's, however many entries wait behind each."""


async def hand_over(
    connection: AsyncConnection | AsyncSession, organization: OrganizationId
) -> None:
    """Leave what is pending to the workers, from now on, and tell them."""
    await connection.execute(DUE_NOW, {"organization": organization})
    await connection.execute(NOTIFY, {"organization": organization})


async def take_up(
    connection: AsyncConnection, most: int, lease: timedelta, after: str = ""
) -> list[tuple[OrganizationId, int]]:
    """Return organizations with something due, and how often that was taken up by now.

    They are the next ones `after` an id, in the order of their ids. For the time of the lease no other
    worker gets them; after it any may.
    """
    names = {"after": after, "most": most, "lease": lease}
    rows = await connection.execute(TAKE_UP, names)
    return sorted((OrganizationId(row.organization_id), row.attempts) for row in rows)


async def put_off(
    connection: AsyncConnection, organization: OrganizationId, pause: timedelta
) -> None:
    """Let what is pending rest for so long."""
    await connection.execute(PUT_OFF, {"organization": organization, "pause": pause})
