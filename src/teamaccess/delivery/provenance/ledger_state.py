"""Find out which relationships a ledger asserts at one of its positions."""

from collections.abc import Collection

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.writer import MARKER_LIFETIME, head_marker, is_marker, position_marker
from teamaccess.relationships import Relationship
from teamaccess.relationships.relationship import WAS
from teamaccess.storage import LedgerEntry, OrganizationId

LAST_UPDATES = text("""
WITH matching AS MATERIALIZED (
  SELECT position, number, update_text, status = 'skipped' AS skipped, identity
  FROM ledger
  JOIN ledger_applications USING (organization_id, position)
  CROSS JOIN unnest(updates) WITH ORDINALITY AS line (update_text, number)
  JOIN unnest(CAST(:identities AS text[])) AS relationships (identity)
    ON identity = split_part(split_part(update_text, ' ', 2), '[expiration:', 1)
  WHERE organization_id = :organization AND position <= :position
    AND (update_text LIKE 'TOUCH %' OR update_text LIKE 'DELETE %')
)
(SELECT DISTINCT ON (identity) update_text FROM matching ORDER BY identity, position DESC, number DESC)
UNION
(SELECT DISTINCT ON (identity) update_text FROM matching WHERE NOT skipped
 ORDER BY identity, position DESC, number DESC)
""")
"""The last update of each relationship up to a position, with and without skipped entries."""


async def asserted_at(
    session: AsyncSession, organization: str, position: int, relationships: Collection[Relationship]
) -> set[Relationship]:
    """Return those of the relationships that the ledger asserts at the position, including markers.

    If an operator has skipped the last update of a relationship, the update before it counts too.
    """
    others = {str(other): other for other in relationships if not is_marker(other)}
    identities = list({relationship.identity for relationship in others.values()})
    rows = await session.scalars(
        LAST_UPDATES,
        {"organization": organization, "position": position, "identities": identities},
    )
    touched = {text.removeprefix("TOUCH ").partition(WAS)[0] for text in rows}
    markers = [marker for marker in relationships if is_marker(marker)]
    return {
        relationship for text, relationship in others.items() if text in touched
    } | await _valid_markers(session, organization, position, markers)


async def _valid_markers(
    session: AsyncSession, organization: str, position: int, markers: Collection[Relationship]
) -> set[Relationship]:
    """Return the markers of positions up to this one, and the head relationship of this one."""
    if not markers:
        return set()
    positions = {_position(marker) for marker in markers} - {None}
    rows = await session.execute(
        select(LedgerEntry.position, LedgerEntry.hash, LedgerEntry.decided_at).where(
            LedgerEntry.organization_id == organization,
            LedgerEntry.position.in_(positions),
            LedgerEntry.position <= position,
        )
    )
    valid: set[str] = set()
    for row in rows:
        at = OrganizationId(organization), row.position, row.hash
        valid.add(position_marker(*at, row.decided_at + MARKER_LIFETIME).identity)
        if row.position == position:
            valid.add(head_marker(*at).identity)
    return {marker for marker in markers if marker.identity in valid}


def _position(marker: Relationship) -> int | None:
    """Return the position that a marker names, None for an impossible position."""
    number = marker.subject.object.id.partition("-")[0]
    return int(number) if number.isdecimal() and len(number) < 19 else None
