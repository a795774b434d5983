"""Stopped organizations: record a refused entry, and retry or skip it."""

from sqlalchemy import bindparam, func, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.delivery import queue
from teamaccess.delivery.applications import select_entries
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

LACKING_SCHEMA = [
    f"{reason}:%"
    for reason in (
        "ERROR_REASON_UNKNOWN_RELATION_OR_PERMISSION",
        "ERROR_REASON_INVALID_SUBJECT_TYPE",
    )
]
"""How SpiceDB's refusals start if its schema does not define a relationship."""
RETRY_AFTER_SCHEMA = (
    update(LedgerApplication)
    .where(
        LedgerApplication.status == ApplicationStatus.REFUSED,
        or_(*(LedgerApplication.refusal.like(pattern) for pattern in LACKING_SCHEMA)),
    )
    .values(status=ApplicationStatus.PENDING, refusal=None)
    .returning(LedgerApplication.organization_id)
)


async def retry_after_schema(connection: AsyncConnection | AsyncSession) -> list[OrganizationId]:
    """Hand the entries over to the workers again that SpiceDB refused because of its schema.

    Call it when SpiceDB has received another schema. If that schema does not fit an entry either, the
    entry stops its organization again. Returns the organizations.
    """
    retried = [OrganizationId(each) for each in await connection.scalars(RETRY_AFTER_SCHEMA)]
    for organization in retried:
        await queue.hand_over(connection, organization)
    return retried


async def stop(connection: AsyncConnection, refused: PositionRefused) -> None:
    """Stop the organization at this position."""
    await connection.execute(
        REFUSE,
        {
            "organization": refused.organization,
            "at": refused.position,
            "why": str(refused),
        },
    )


async def stopping_entry(session: AsyncSession, organization: OrganizationId) -> Entry | None:
    """Return the entry that stops the organization, None if the organization has not stopped.

    Unreadable updates are left out.
    """
    row = (
        await session.execute(
            select_entries(organization)
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
    """Make the refused entry pending again, and hand it over to the workers."""
    await session.execute(RETRY, {"organization": organization})
    await queue.hand_over(session, organization)


async def skip_entry(session: AsyncSession, entry: Entry, token: str) -> None:
    """Record that the entry was skipped, and hand the entries after it over to the workers."""
    skipped = {"organization": entry.organization, "at": entry.position, "token": token}
    await session.execute(SKIP, skipped)
    await queue.hand_over(session, entry.organization)
