"""Find ledger entries by their delivery status, which the table `ledger_applications` has."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.relationships import InvalidRelationship
from teamaccess.storage import (
    DONE,
    LedgerApplication,
    LedgerEntry,
    LedgerHead,
    OrganizationId,
)

MAX_PENDING_READ = 1000
"""Pending entries that are read at once. After an outage, an organization may have any number of them."""
SAME_POSITION = (LedgerApplication.organization_id == LedgerEntry.organization_id) & (
    LedgerApplication.position == LedgerEntry.position
)


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


def last_changed_organizations(most: int) -> Select[OrganizationId]:
    """Select the organizations that were changed last. This reads the heads of all ledgers."""
    newest_first = LedgerHead.decided_at.desc()
    return select(LedgerHead.organization_id).order_by(newest_first).limit(most)


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
