"""Compares the rows of an organization with the result of its ledger.

Both sides are summed as 64-bit hashes, so that memory holds one page of each side. The relationships
themselves are compared only if the sums differ or an operator skipped an entry. Nobody can prepare a
collision, because Python seeds the hashes differently in each process.
"""

from collections.abc import AsyncIterator
from itertools import islice

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.relationships import EXPIRATION_PREFIX
from teamaccess.relationships.relationship import WAS
from teamaccess.storage import OrganizationId, RelationshipSource
from teamaccess.upkeep.reconciliation.comparison import parse_or_none, some_row_could_make
from teamaccess.upkeep.reconciliation.rows import PAGE, expected_relationships

EXAMPLES = 10
"""The most differences of one kind in an answer."""
LAST_UPDATES = sql(f"""
SELECT DISTINCT ON (identity) item, skipped FROM (
  SELECT position, nth, item, status = 'skipped' AS skipped,
    split_part(split_part(item, ' ', 2), '{EXPIRATION_PREFIX}', 1) AS identity
  FROM ledger
  JOIN ledger_applications USING (organization_id, position),
  unnest(updates) WITH ORDINALITY AS each (item, nth)
  WHERE organization_id = :organization AND (item LIKE 'TOUCH %' OR item LIKE 'DELETE %')
) AS decided
ORDER BY identity, position DESC, nth DESC
""")  # noqa: S608 - a constant of ours
"""The last update of each relationship. RESTORE and PURGE are left out because they decide nothing."""


async def find_disagreements(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    """Return examples of what only the rows have and what only the ledger has; nothing if they agree.

    If an operator skipped the last update of a relationship, the rows alone decide about it.
    Relationships that no row could stand for are left out: no row ever did, and SpiceDB refused them.
    """
    total, any_skipped = 0, False
    async for text in _row_texts(session, organization):
        total += hash(text)
    async for text, skipped in _ledger_texts(session, organization):
        total -= hash(text)
        any_skipped |= skipped
    if not total and not any_skipped:
        return []
    return await _differences(session, catalog, organization)


async def _differences(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    rows = {text async for text in _row_texts(session, organization)}
    ledger: set[str] = set()
    skipped_identities: set[str] = set()
    async for text, skipped in _ledger_texts(session, organization):
        if skipped:
            skipped_identities.add(_identity(text))
        else:
            ledger.add(text)
    only_rows = (
        text for text in sorted(rows - ledger) if _identity(text) not in skipped_identities
    )
    only_ledger = (
        text
        for text in sorted(ledger - rows)
        if (relationship := parse_or_none(text)) and some_row_could_make(relationship, catalog)
    )
    return [
        *(f"only the rows have {text}" for text in islice(only_rows, EXAMPLES)),
        *(f"only the ledger has {text}" for text in islice(only_ledger, EXAMPLES)),
    ]


async def _row_texts(session: AsyncSession, organization: OrganizationId) -> AsyncIterator[str]:
    for source in RelationshipSource.tables().values():
        async for page in expected_relationships(session, source, organization):
            for relationship in page:
                yield str(relationship)


async def _ledger_texts(
    session: AsyncSession, organization: OrganizationId
) -> AsyncIterator[tuple[str, bool]]:
    """Yield each relationship whose last update adds it or was skipped, and whether it was skipped."""
    updates = await session.stream(
        LAST_UPDATES, {"organization": organization}, execution_options={"yield_per": PAGE}
    )
    async for update, skipped in updates:
        operation, _, rest = update.partition(" ")
        if operation == "TOUCH" or skipped:
            yield rest.partition(WAS)[0], skipped


def _identity(text: str) -> str:
    return text.partition(EXPIRATION_PREFIX)[0]
