"""How far entries have come on their way into SpiceDB, as `ledger_applications` keeps it.

Single statements, none of which needs a transaction; what an operator decides is part of one.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import aliased

from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.models import (
    DONE,
    ApplicationStatus,
    LedgerApplication,
    LedgerEntry,
    OrganizationId,
)
from teamaccess.relationships import InvalidRelationship

HANDED_OVER = "teamaccess_ledger"
"""The channel on which workers are told that something is left to them."""

SAME_POSITION = (LedgerApplication.organization_id == LedgerEntry.organization_id) & (
    LedgerApplication.position == LedgerEntry.position
)
_places = (
    func.unnest(
        bindparam("organizations", type_=ARRAY(Text)), bindparam("until", type_=ARRAY(BigInteger))
    )
    .table_valued("organization", "until")
    .render_derived("arrived")
)
CONFIRM = (
    update(LedgerApplication)
    .where(
        LedgerApplication.organization_id == _places.c.organization,
        LedgerApplication.position <= _places.c.until,
        LedgerApplication.status.not_in(DONE),
    )
    .values(
        status=ApplicationStatus.APPLIED,
        zed_token=bindparam("token"),
        enforced_at=func.clock_timestamp(),
        refusal=None,
    )
)
"""What lies before an applied entry was applied before it, also where the mark of that was lost."""
_OPEN = update(LedgerApplication).where(
    LedgerApplication.organization_id == bindparam("organization"),
    LedgerApplication.status.not_in(DONE),
)
REFUSE = _OPEN.where(LedgerApplication.position == bindparam("at")).values(
    status=ApplicationStatus.REFUSED, refusal=bindparam("why")
)
SKIP = (
    update(LedgerApplication)
    .where(
        LedgerApplication.organization_id == bindparam("organization"),
        LedgerApplication.position == bindparam("at"),
    )
    .values(
        status=ApplicationStatus.SKIPPED,
        zed_token=bindparam("token"),
        enforced_at=func.clock_timestamp(),
    )
)
RETRY = _OPEN.where(LedgerApplication.status == ApplicationStatus.REFUSED).values(
    status=ApplicationStatus.PENDING, refusal=None, due_at=func.clock_timestamp()
)
DUE_NOW = _OPEN.values(due_at=func.clock_timestamp())
PUT_OFF = _OPEN.values(due_at=func.clock_timestamp() + bindparam("pause"))
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


def newest(organization: OrganizationId) -> Select[int, bytes, str | None]:
    """Select position, hash and ZedToken of the organization's last confirmed change."""
    return (
        select(LedgerEntry.position, LedgerEntry.hash, LedgerApplication.zed_token)
        .join(LedgerApplication, SAME_POSITION)
        .where(
            LedgerApplication.organization_id == organization,
            LedgerApplication.status.in_(DONE),
        )
        .order_by(LedgerApplication.position.desc())
        .limit(1)
    )


def changed_last() -> Select[OrganizationId]:
    """Select the organization that was changed last."""
    return select(LedgerEntry.organization_id).order_by(LedgerEntry.decided_at.desc()).limit(1)


async def pending(connection: AsyncConnection, organization: OrganizationId) -> list[Entry]:
    """Return what SpiceDB may not have yet, in order, as far as it can be read.

    Raises PositionRefused for a first entry that cannot be.
    """
    rows = await connection.execute(
        _entries(organization).where(LedgerApplication.status.not_in(DONE), _beyond_done())
    )
    entries: list[Entry] = []
    for row in rows:
        try:
            entries.append(Entry.of(row))
        except InvalidRelationship as unreadable:
            if not entries:
                raise PositionRefused(
                    organization, row.position, "UNREADABLE", str(unreadable)
                ) from unreadable
            break
    return entries


async def confirm(connection: AsyncConnection, entries: Sequence[Entry], token: str) -> None:
    """Keep that these entries, of an organization each, and all before them have arrived."""
    await connection.execute(
        CONFIRM,
        {
            "organizations": [entry.organization for entry in entries],
            "until": [entry.position for entry in entries],
            "token": token,
        },
    )


async def settle(connection: AsyncConnection, organization: OrganizationId) -> str | None:
    """Return the newest token, None before the first; marks lost before it are made again."""
    row = (await connection.execute(newest(organization))).one_or_none()
    if row is None:
        return None
    await connection.execute(
        CONFIRM,
        {"organizations": [organization], "until": [row.position], "token": row.zed_token},
    )
    return str(row.zed_token)


async def refuse(connection: AsyncConnection, refused: PositionRefused) -> None:
    """Stop the organization at this position."""
    await connection.execute(
        REFUSE,
        {
            "organization": refused.organization,
            "at": refused.position,
            "why": str(refused),
        },
    )


async def refused(session: AsyncSession, organization: OrganizationId) -> Entry | None:
    """Return the entry that stops the organization, None where none does; its updates may be unreadable.

    They are left out then.
    """
    row = (
        await session.execute(
            _entries(organization)
            .where(LedgerApplication.status == ApplicationStatus.REFUSED)
            .limit(1)
        )
    ).one_or_none()
    if row is None:
        return None
    try:
        return Entry.of(row)
    except InvalidRelationship:
        return Entry.of(row, updates=())


async def retry(session: AsyncSession, organization: OrganizationId) -> None:
    """Let what was refused be sent again, now."""
    await session.execute(RETRY, {"organization": organization})
    await session.execute(NOTIFY, {"organization": organization})


async def skip(session: AsyncSession, entry: Entry, token: str) -> None:
    """Keep that the entry was given up, and let what waits behind it follow, now."""
    skipped = {"organization": entry.organization, "at": entry.position, "token": token}
    await session.execute(SKIP, skipped)
    await session.execute(DUE_NOW, {"organization": entry.organization})
    await session.execute(NOTIFY, {"organization": entry.organization})


async def hand_over(connection: AsyncConnection, organization: OrganizationId) -> None:
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


def _entries(organization: OrganizationId) -> Select[*tuple[Any, ...]]:
    """Select what makes entries, in order."""
    return (
        select(
            LedgerEntry.organization_id,
            LedgerEntry.position,
            LedgerEntry.hash,
            LedgerEntry.previous_hash,
            LedgerEntry.updates,
            LedgerEntry.actor,
            LedgerEntry.request_id,
        )
        .join(LedgerApplication, SAME_POSITION)
        .where(LedgerEntry.organization_id == organization)
        .order_by(LedgerEntry.position)
    )


def _beyond_done() -> ColumnElement[bool]:
    """Whether an application lies beyond all that is done: only that can be missing."""
    done = aliased(LedgerApplication)
    last = (
        select(func.coalesce(func.max(done.position), 0))
        .where(
            done.organization_id == LedgerApplication.organization_id,
            done.status.in_(DONE),
        )
        .correlate(LedgerApplication)
        .scalar_subquery()
    )
    return LedgerApplication.position > last
