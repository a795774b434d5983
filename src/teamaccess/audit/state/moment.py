"""The past time of a question, and the position of a ledger at that time."""

import asyncio
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Row, Select, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import Invalid
from teamaccess.common.formats.times import as_utc
from teamaccess.delivery.applications import SAME_POSITION
from teamaccess.delivery.position import LedgerPosition
from teamaccess.ledger import OrganizationBusy, Sessions, UnknownOrganization, database_time
from teamaccess.ledger.session import raise_busy_on_lock_timeout
from teamaccess.storage import (
    LedgerApplication,
    LedgerEntry,
    Organization,
    OrganizationId,
)
from teamaccess.storage.records.ledger import DONE

NO_RUNNING_CHANGE = text("""
WITH quick AS MATERIALIZED (SELECT set_config('lock_timeout', '20ms', true) AS timeout)
SELECT found.ledgers FROM quick CROSS JOIN LATERAL (
  SELECT count(*) AS ledgers
  FROM ledger_lock(ARRAY[CASE WHEN quick.timeout <> '' THEN CAST(:organization AS text) END])
) AS found
""")
"""Fails if a change holds the lock, because that change may be decided but not visible yet."""
PATIENCE_SECONDS = 2.0
"""How long a question waits for a change of its organization."""
PAUSE_SECONDS = 0.05
LONGEST_CHANGE = timedelta(minutes=15)
"""No transaction stays open longer, so every change decided before that is visible."""
MARKED_WITHIN = timedelta(seconds=1)
"""How long it takes at most until a confirmation by SpiceDB is visible to other connections."""


class Basis(StrEnum):
    """What an answer about the past counts."""

    DECIDED = "decided"
    """The changes that had been decided by then."""
    ENFORCED = "enforced"
    """The changes that SpiceDB had confirmed by then, so the answer is what services got."""


class Moment(NamedTuple):
    """A past time."""

    at: datetime
    basis: Basis = Basis.DECIDED

    def in_utc(self) -> "Moment":
        """Return the same time in UTC. Raises OutOfCalendar."""
        return self._replace(at=as_utc(self.at))


class NotYet(Invalid):
    """The question is about a time in the future."""

    message = "{at} is in the future; it is {now}. Leave `at` out to ask about the present."


class BeforeItBegan(Invalid):
    """The question is about a time before the organization's first ledger entry."""

    message = (
        "{organization} had no {basis} changes by {at}. Its first change was at {began}; ask "
        "about a later time."
    )


class PositionAt(NamedTuple):
    """The newest position of a ledger at a moment."""

    ledger_position: LedgerPosition
    catalog_version: str
    """The version of the catalog by which the entry at that position was decided."""


async def position_at(
    session: AsyncSession, organization: OrganizationId, moment: Moment
) -> PositionAt:
    """Return the newest position of a ledger at a moment. Call `wait_until_final` first.

    The answer is the same whenever it is asked. The organization may have ended since. Raises
    UnknownOrganization and BeforeItBegan.
    """
    entries = _entries(organization)
    if moment.basis is Basis.ENFORCED:
        enforced = LedgerApplication.enforced_at <= moment.at
        entries = entries.where(LedgerApplication.status.in_(DONE), enforced)
    else:
        entries = entries.where(LedgerEntry.decided_at <= moment.at)
    newest = entries.order_by(LedgerEntry.position.desc()).limit(1)
    entry = (await session.execute(newest)).one_or_none()
    if entry is None:
        raise await _too_early(session, organization, moment)
    return PositionAt(
        LedgerPosition(organization, entry.position, entry.hash, None), str(entry.catalog_version)
    )


async def wait_until_final(reads: Sessions, organization: OrganizationId, moment: Moment) -> None:
    """Wait until no more entries of that time can become visible. It holds no connection meanwhile.

    Raises NotYet, and OrganizationBusy if a change holds the organization's lock for too long.
    """
    async with reads() as session:
        now = await database_time(session)
    if moment.at > now:
        raise NotYet(at=moment.at.isoformat(), now=now.isoformat())
    if moment.basis is Basis.ENFORCED and (late := moment.at + MARKED_WITHIN - now) > timedelta():
        await asyncio.sleep(late.total_seconds())
    elif moment.basis is Basis.DECIDED and now - moment.at < LONGEST_CHANGE:
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not await _is_free(reads, organization):
            if asyncio.get_running_loop().time() > end:
                raise OrganizationBusy(organization=organization)
            await asyncio.sleep(PAUSE_SECONDS)


async def _is_free(reads: Sessions, organization: OrganizationId) -> bool:
    """Return whether no change holds the organization's lock."""
    try:
        with raise_busy_on_lock_timeout(organization):
            async with reads() as session:
                await session.execute(NO_RUNNING_CHANGE, {"organization": organization})
    except OrganizationBusy:
        return False
    return True


async def _too_early(
    session: AsyncSession, organization: OrganizationId, moment: Moment
) -> Exception:
    first: Row[int, bytes, str, datetime] | None = (
        await session.execute(_entries(organization).order_by(LedgerEntry.position).limit(1))
    ).one_or_none()
    if first is None and await session.get(Organization, organization) is None:
        return UnknownOrganization(organization=organization)
    return BeforeItBegan(
        organization=organization,
        at=moment.at.isoformat(),
        basis=moment.basis.value,
        began=first.decided_at.isoformat() if first is not None else "a time that has not come",
    )


def _entries(organization: OrganizationId) -> Select[int, bytes, str, datetime]:
    return (
        select(
            LedgerEntry.position,
            LedgerEntry.hash,
            LedgerEntry.catalog_version,
            LedgerEntry.decided_at,
        )
        .join(LedgerApplication, SAME_POSITION)
        .where(LedgerEntry.organization_id == organization)
    )
