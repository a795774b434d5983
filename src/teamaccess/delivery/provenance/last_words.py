"""What a ledger stood for at one of its positions, of the relationships that somebody asks about."""

from collections.abc import Collection

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger.entry import LIFE, applied, head, is_marker
from teamaccess.relationships import Relationship
from teamaccess.relationships.updates import WAS
from teamaccess.storage import LedgerEntry, OrganizationId

LAST_WORDS = text("""
WITH told AS MATERIALIZED (
  SELECT position, nth, said, status = 'skipped' AS skipped, identity
  FROM ledger
  JOIN ledger_applications USING (organization_id, position)
  CROSS JOIN unnest(updates) WITH ORDINALITY AS each (said, nth)
  JOIN unnest(CAST(:identities AS text[])) AS wanted (identity)
    ON identity = split_part(split_part(said, ' ', 2), '[expiration:', 1)
  WHERE organization_id = :organization AND position <= :position
    AND (said LIKE 'TOUCH %' OR said LIKE 'DELETE %')
)
(SELECT DISTINCT ON (identity) said FROM told ORDER BY identity, position DESC, nth DESC)
UNION
(SELECT DISTINCT ON (identity) said FROM told WHERE NOT skipped
 ORDER BY identity, position DESC, nth DESC)
""")
"""What the ledger says last of some relationships, and what it says where nobody gave the entry up."""


async def stood_for(
    session: AsyncSession, organization: str, position: int, asked: Collection[Relationship]
) -> set[Relationship]:
    """Return those of the relationships for which the ledger stood at the position, markers included.

    Where an operator has given up what the ledger says last of something, what it says before counts too.
    """
    plain = {str(each): each for each in asked if not is_marker(each)}
    identities = list({each.identity for each in plain.values()})
    rows = await session.scalars(
        LAST_WORDS,
        {"organization": organization, "position": position, "identities": identities},
    )
    said = {text.removeprefix("TOUCH ").partition(WAS)[0] for text in rows}
    markers = [each for each in asked if is_marker(each)]
    return {each for text, each in plain.items() if text in said} | await _true(
        session, organization, position, markers
    )


async def _true(
    session: AsyncSession, organization: str, position: int, markers: Collection[Relationship]
) -> set[Relationship]:
    """Return the markers of positions up to this one, and the head if it is the one of this."""
    if not markers:
        return set()
    named = {number for each in markers if (number := _position(each)) is not None}
    rows = await session.execute(
        select(LedgerEntry.position, LedgerEntry.hash, LedgerEntry.decided_at).where(
            LedgerEntry.organization_id == organization,
            LedgerEntry.position.in_(named),
            LedgerEntry.position <= position,
        )
    )
    true: set[str] = set()
    for row in rows:
        at = OrganizationId(organization), row.position, row.hash
        true.add(applied(*at, row.decided_at + LIFE).identity)
        if row.position == position:
            true.add(head(*at).identity)
    return {each for each in markers if each.identity in true}


def _position(marker: Relationship) -> int | None:
    """Return the position that a marker names, None for one that no ledger can have."""
    number = marker.subject.object.id.partition("-")[0]
    return int(number) if number.isdecimal() and len(number) < 19 else None
