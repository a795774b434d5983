"""How far entries have come on their way into SpiceDB, as `ledger_applications` keeps it."""

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

AT_A_TIME = 1000
"""Entries: after an outage an organization may have any number of them."""
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
    """Return the next of what SpiceDB may not have yet, in order, as far as it can be read.

    Raises PositionRefused for a first entry that cannot be.
    """
    found: list[Entry] = []
    for row in await connection.execute(waiting(organization)):
        try:
            found.append(Entry.of(row))
        except InvalidRelationship as unreadable:
            if not found:
                raise PositionRefused(
                    organization, row.position, "UNREADABLE", str(unreadable)
                ) from unreadable
            break
    return found


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


async def settle_applications(
    connection: AsyncConnection, organization: OrganizationId
) -> str | None:
    """Return the newest token, None before the first; marks lost before it are made again."""
    row = (await connection.execute(newest(organization))).one_or_none()
    if row is None:
        return None
    await connection.execute(
        CONFIRM,
        {"organizations": [organization], "until": [row.position], "token": row.zed_token},
    )
    return str(row.zed_token)


def entries(organization: OrganizationId) -> Select[*tuple[Any, ...]]:
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


def waiting(organization: OrganizationId) -> Select[*tuple[Any, ...]]:
    """Select the next entries that SpiceDB may not have: those beyond all that is done.

    What is done is looked for once, and not anew for each of what may be a hundred thousand.
    """
    done = aliased(LedgerApplication)
    last = (
        select(func.coalesce(func.max(done.position), 0))
        .where(done.organization_id == organization, done.status.in_(DONE))
        .scalar_subquery()
    )
    return (
        entries(organization)
        .where(LedgerApplication.status.not_in(DONE), LedgerApplication.position > last)
        .limit(AT_A_TIME)
    )
