"""The queue of the workers: organizations with pending entries, each leased to one worker at a time."""

from datetime import timedelta

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import aliased

from teamaccess.storage import DONE, LedgerApplication, OrganizationId

HANDED_OVER = "teamaccess_ledger"
"""PostgreSQL's notification channel that wakes the workers when entries are handed over."""

_other = aliased(LedgerApplication)
_FIRST = update(LedgerApplication).where(
    LedgerApplication.organization_id == bindparam("organization"),
    LedgerApplication.position
    == select(func.min(_other.position))
    .where(_other.organization_id == bindparam("organization"), _other.status.not_in(DONE))
    .scalar_subquery(),
)
DUE_NOW = _FIRST.values(due_at=func.clock_timestamp())
POSTPONE = _FIRST.values(due_at=func.clock_timestamp() + bindparam("pause"))
NOTIFY = select(func.pg_notify(HANDED_OVER, bindparam("organization")))
CLAIM_DUE = text("""
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
SET attempts = least(attempts, 999999) + 1, due_at = clock_timestamp() + :lease
FROM taken WHERE applications.organization_id = taken.organization_id
  AND applications.position = taken.position
RETURNING applications.organization_id, attempts
""")
"""The first open entry stands for its organization: the worker that claims it delivers the rest too. The
index leads from the first entry of one organization to that of the next, however many entries follow
each. No value of a row makes the statement fail, because it claims for all organizations."""


async def hand_over(
    connection: AsyncConnection | AsyncSession, organization: OrganizationId
) -> None:
    """Leave the organization's pending entries to the workers, and wake them."""
    await connection.execute(DUE_NOW, {"organization": organization})
    await connection.execute(NOTIFY, {"organization": organization})


async def claim_due(
    connection: AsyncConnection, most: int, lease: timedelta, after: str = ""
) -> list[tuple[OrganizationId, int]]:
    """Claim at most `most` organizations with due entries. Return them with their number of attempts.

    They are the next ones after the id `after`, in the order of ids. No other worker gets them during the
    lease.
    """
    parameters = {"after": after, "most": most, "lease": lease}
    rows = await connection.execute(CLAIM_DUE, parameters)
    return sorted((OrganizationId(row.organization_id), row.attempts) for row in rows)


async def postpone(
    connection: AsyncConnection, organization: OrganizationId, pause: timedelta
) -> None:
    """Make the organization's pending entries due after the pause."""
    await connection.execute(POSTPONE, {"organization": organization, "pause": pause})
