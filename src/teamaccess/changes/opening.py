"""Open a change: lock its organizations, deliver what is pending there, and learn their positions."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applier import Applier
from teamaccess.delivery.position import LedgerPosition
from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.ledger.errors import OrganizationBusy, UnknownOrganization
from teamaccess.ledger.session import raise_busy_on_lock_timeout
from teamaccess.ledger.zed_tokens import zed_token_or_none
from teamaccess.storage import OrganizationId

LOCK = text("""
SELECT *, set_config('lock_timeout', '250ms', true), foreign_schema_found() AS foreign_schema
FROM ledger_lock(:organizations)
""")
"""SECURITY: `foreign_schema_found` is called when the lock is held. It sees what was committed before.

SECURITY: the holder of an organization's lock waits at most a quarter of a second for any other lock.
Tenants share some rows, such as users. A stranger who locks one must not block this organization."""
BEGIN = text("""
SELECT clock_timestamp() AS now, pg_current_xact_id()::text AS transaction,
       EXISTS (SELECT FROM findings
               WHERE kind = 'foreign_schema' AND resolved_at IS NULL) AS foreign_schema
""")
PATIENCE_SECONDS = 2.0
"""How long a change waits for the delivery of pending entries before it."""


class Opened(NamedTuple):
    """PostgreSQL's answer to the opening of a change."""

    now: datetime
    transaction: str
    ledger_positions: list[LedgerPosition]
    foreign_schema: bool
    """Whether there is an unresolved finding of a foreign schema."""


async def open_ledgers(
    session: AsyncSession,
    organizations: Sequence[OrganizationId],
    applier: Applier,
    proof: str,
    *,
    judging: bool,
) -> Opened:
    """Lock the organizations. If the change is `judging`, apply their pending entries to SpiceDB.

    `proof` is what proves a position to SpiceDB (`LedgerPosition.proof`). Raises UnknownOrganization, and
    OrganizationBusy if the locks take too long or pending entries are not applied within two seconds.
    """
    if not organizations:
        begun = (await session.execute(BEGIN)).one()
        return Opened(begun.now, begun.transaction, [], begun.foreign_schema)
    since = time.monotonic()
    rows = await lock_rows(session, organizations)
    for organization in organizations:
        if organization not in [row.organization_id for row in rows]:
            raise UnknownOrganization(organization=organization)
    ledger_positions = [
        await _position_of(row, applier, proof, since, judging=judging) for row in rows
    ]
    now = max(row.now for row in rows)
    return Opened(now, rows[0].transaction, ledger_positions, rows[0].foreign_schema)


async def lock_rows(
    session: AsyncSession, organizations: Sequence[OrganizationId]
) -> Sequence[Row[Any]]:
    """Lock the organizations' ledgers and return their state. Raises OrganizationBusy."""
    with raise_busy_on_lock_timeout(*organizations):
        return (await session.execute(LOCK, {"organizations": list(organizations)})).all()


async def _position_of(
    row: Row[Any], applier: Applier, proof: str, since: float, *, judging: bool
) -> LedgerPosition:
    organization = OrganizationId(row.organization_id)
    token, refusal = zed_token_or_none(row.zed_token), row.refusal
    if judging and refusal is None and row.applied < row.head:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                token = await applier.catch_up(organization, row.hash, since)
        except (EngineUnavailable, TimeoutError) as cause:
            raise OrganizationBusy(organization=organization) from cause
        except EngineRefused as refused:
            refusal = str(refused)
    if refusal is not None:
        token = None  # so that questions are answered with full consistency
    return LedgerPosition(organization, row.head, row.hash, token, stopped=refusal, proof=proof)
