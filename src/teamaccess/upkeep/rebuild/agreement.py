"""Whether the rows of an organization stand for what its ledger led to.

Both are summed up, so that memory is used for a page of each. Only where the sums differ, or an operator
has given an entry up, they are held against each other whole. The sums are of 64-bit hashes, which Python
seeds anew in each process.
"""

from collections.abc import AsyncIterator
from itertools import islice

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.relationships import EXPIRATION_PREFIX
from teamaccess.relationships.updates import WAS
from teamaccess.storage import OrganizationId, RelationshipSource
from teamaccess.upkeep.reconciliation.comparison import could_be_made, parsed
from teamaccess.upkeep.reconciliation.rows import PAGE, meant

EXAMPLES = 10
"""How many differences of a kind are told."""
LAST_WORDS = sql(f"""
SELECT DISTINCT ON (identity) said, skipped FROM (
  SELECT position, nth, said, status = 'skipped' AS skipped,
    split_part(split_part(said, ' ', 2), '{EXPIRATION_PREFIX}', 1) AS identity
  FROM ledger
  JOIN ledger_applications USING (organization_id, position),
  unnest(updates) WITH ORDINALITY AS each (said, nth)
  WHERE organization_id = :organization AND (said LIKE 'TOUCH %' OR said LIKE 'DELETE %')
) AS told
ORDER BY identity, position DESC, nth DESC
""")  # noqa: S608 - a constant of ours
"""What the ledger says last of each relationship; RESTORE and PURGE say nothing new."""


async def disagreement(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    """Return what only the rows have and what only the ledger has, some of each; nothing if they agree.

    Where an operator has given up what the ledger says last of something, the rows count. What no row
    could have made is left out: it was never in one, and SpiceDB refused it.
    """
    total, given_up = 0, False
    async for text in _of_rows(session, organization):
        total += hash(text)
    async for said, skipped in _of_ledger(session, organization):
        total -= hash(said)
        given_up |= skipped
    return await _differences(session, catalog, organization) if total or given_up else []


async def _differences(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    rows = {text async for text in _of_rows(session, organization)}
    ledger: set[str] = set()
    given_up: set[str] = set()
    async for said, skipped in _of_ledger(session, organization):
        (given_up if skipped else ledger).add(_identity(said) if skipped else said)
    found = (text for text in sorted(rows - ledger) if _identity(text) not in given_up)
    lost = (
        text
        for text in sorted(ledger - rows)
        if (relationship := parsed(text)) and could_be_made(relationship, catalog)
    )
    return [
        *(f"only the rows have {text}" for text in islice(found, EXAMPLES)),
        *(f"only the ledger has {text}" for text in islice(lost, EXAMPLES)),
    ]


async def _of_rows(session: AsyncSession, organization: OrganizationId) -> AsyncIterator[str]:
    for source in RelationshipSource.tables().values():
        async for page in meant(session, source, organization):
            for relationship in page:
                yield str(relationship)


async def _of_ledger(
    session: AsyncSession, organization: OrganizationId
) -> AsyncIterator[tuple[str, bool]]:
    """Yield what stands by the ledger, and what would if its entry had not been skipped."""
    last = await session.stream(
        LAST_WORDS, {"organization": organization}, execution_options={"yield_per": PAGE}
    )
    async for said, skipped in last:
        operation, _, rest = said.partition(" ")
        if operation == "TOUCH" or skipped:
            yield rest.partition(WAS)[0], skipped


def _identity(text: str) -> str:
    return text.partition(EXPIRATION_PREFIX)[0]
