"""Entries that SpiceDB refuses for good, and the ways out."""

from sqlalchemy import bindparam, func, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.delivery import queue
from teamaccess.delivery.applications import entries
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.relationships import InvalidRelationship
from teamaccess.storage import ApplicationStatus, LedgerApplication, OrganizationId

_OF = update(LedgerApplication).where(
    LedgerApplication.organization_id == bindparam("organization")
)
_AT = _OF.where(LedgerApplication.position == bindparam("at"))
REFUSE = _AT.values(status=ApplicationStatus.REFUSED, refusal=bindparam("why"))
SKIP = _AT.values(
    status=ApplicationStatus.SKIPPED,
    zed_token=bindparam("token"),
    enforced_at=func.clock_timestamp(),
)
RETRY = _OF.where(LedgerApplication.status == ApplicationStatus.REFUSED).values(
    status=ApplicationStatus.PENDING, refusal=None
)


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
            entries(organization)
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


async def retry_entry(session: AsyncSession, organization: OrganizationId) -> None:
    """Let what was refused be sent again, now."""
    await session.execute(RETRY, {"organization": organization})
    await queue.hand_over(session, organization)


async def skip_entry(session: AsyncSession, entry: Entry, token: str) -> None:
    """Keep that the entry was given up, and let what waits behind it follow, now."""
    skipped = {"organization": entry.organization, "at": entry.position, "token": token}
    await session.execute(SKIP, skipped)
    await queue.hand_over(session, entry.organization)
