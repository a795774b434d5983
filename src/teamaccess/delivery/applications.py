"""The delivery status of each ledger entry, kept in the table `ledger_applications`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    Text,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.relationships import InvalidRelationship
from teamaccess.storage import (
    DONE,
    ApplicationStatus,
    LedgerApplication,
    LedgerEntry,
    OrganizationId,
)

MAX_PENDING_READ = 1000
"""Pending entries that are read at once. After an outage, an organization may have any number of them."""
SAME_POSITION = (LedgerApplication.organization_id == LedgerEntry.organization_id) & (
    LedgerApplication.position == LedgerEntry.position
)
_positions = (
    func.unnest(
        bindparam("organizations", type_=ARRAY(Text)), bindparam("until", type_=ARRAY(BigInteger))
    )
    .table_valued("organization", "until")
    .render_derived("arrived")
)
CONFIRM = (
    update(LedgerApplication)
    .where(
        LedgerApplication.organization_id == _positions.c.organization,
        LedgerApplication.position <= _positions.c.until,
        LedgerApplication.status.not_in(DONE),
    )
    .values(
        status=ApplicationStatus.APPLIED,
        zed_token=bindparam("token"),
        enforced_at=func.clock_timestamp(),
        refusal=None,
    )
)
"""Entries are applied in order. So all entries before an applied one are applied too, even if a crash
lost the record of that."""


def newest_confirmed(organization: OrganizationId) -> Select[int, bytes, str | None]:
    """Select position, hash and ZedToken of the organization's newest confirmed entry."""
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


def last_changed_organization() -> Select[OrganizationId]:
    """Select the organization that was changed last."""
    return select(LedgerEntry.organization_id).order_by(LedgerEntry.decided_at.desc()).limit(1)


async def pending_entries(connection: AsyncConnection, organization: OrganizationId) -> list[Entry]:
    """Return the next pending entries in order, up to the first unreadable one.

    Raises PositionRefused if the first pending entry is unreadable.
    """
    readable: list[Entry] = []
    for row in await connection.execute(select_pending(organization)):
        try:
            readable.append(Entry.of(row))
        except InvalidRelationship as unreadable:
            if not readable:
                raise PositionRefused(
                    organization, row.position, "UNREADABLE", str(unreadable)
                ) from unreadable
            break
    return readable


async def confirm(connection: AsyncConnection, entries: Sequence[Entry], token: str) -> None:
    """Record that SpiceDB has these entries, one for each organization, and all entries before them."""
    await connection.execute(
        CONFIRM,
        {
            "organizations": [entry.organization for entry in entries],
            "until": [entry.position for entry in entries],
            "token": token,
        },
    )


async def settle_applications(
    connection: AsyncConnection, organization: OrganizationId
) -> str | None:
    """Return the ZedToken of the newest confirmed entry, None if there is none.

    It also confirms all entries before that one, in case a crash lost these records.
    """
    row = (await connection.execute(newest_confirmed(organization))).one_or_none()
    if row is None:
        return None
    await connection.execute(
        CONFIRM,
        {"organizations": [organization], "until": [row.position], "token": row.zed_token},
    )
    return str(row.zed_token)


def select_entries(organization: OrganizationId) -> Select[*tuple[Any, ...]]:
    """Select the columns of the organization's entries, in order."""
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


def select_pending(organization: OrganizationId) -> Select[*tuple[Any, ...]]:
    """Select the next pending entries: those after the newest finished one.

    The newest finished entry is found once, and not again for each of perhaps a hundred thousand entries.
    """
    done = aliased(LedgerApplication)
    last = (
        select(func.coalesce(func.max(done.position), 0))
        .where(done.organization_id == organization, done.status.in_(DONE))
        .scalar_subquery()
    )
    return (
        select_entries(organization)
        .where(LedgerApplication.status.not_in(DONE), LedgerApplication.position > last)
        .limit(MAX_PENDING_READ)
    )
