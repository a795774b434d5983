"""Whether the rows of an organization stand for what its ledger led to.

Both are summed up, so that memory is used for a page of each; only where the sums differ the differences
are looked for, one by one. The sums are of 64-bit hashes, which Python seeds anew in each process.
"""

from collections.abc import AsyncIterator
from itertools import islice

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.models import LedgerEntry, OrganizationId, RelationshipSource
from teamaccess.reconciliation.comparison import could_be_made
from teamaccess.reconciliation.rows import PAGE, meant
from teamaccess.relationships.updates import WAS

EXAMPLES = 10
"""How many differences of a kind are told."""


async def disagreement(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    """Return what only the rows have and what only the ledger has, some of each; nothing if they agree.

    What no row could have made is left out: it was never in one, and SpiceDB refused it.
    """
    total = 0
    async for text in _of_rows(session, organization):
        total += hash(text)
    async for text, sign in _of_ledger(session, organization):
        total -= sign * hash(text)
    return await _differences(session, catalog, organization) if total else []


async def _differences(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> list[str]:
    rows = {text async for text in _of_rows(session, organization)}
    ledger: set[str] = set()
    async for text, sign in _of_ledger(session, organization):
        (ledger.add if sign > 0 else ledger.discard)(text)
    lost = (text for text in sorted(ledger - rows) if could_be_made(text, catalog))
    told = [f"only the rows have {text}" for text in sorted(rows - ledger)[:EXAMPLES]]
    return [*told, *(f"only the ledger has {text}" for text in islice(lost, EXAMPLES))]


async def _of_rows(session: AsyncSession, organization: OrganizationId) -> AsyncIterator[str]:
    for source in RelationshipSource.tables().values():
        async for page in meant(session, source, organization):
            for relationship in page:
                yield str(relationship)


async def _of_ledger(
    session: AsyncSession, organization: OrganizationId
) -> AsyncIterator[tuple[str, int]]:
    """Yield what each update brought, with 1, and what it took away, with -1."""
    updates = await session.stream_scalars(
        select(func.unnest(LedgerEntry.updates))  # one by one: some entries have a thousand
        .where(LedgerEntry.organization_id == organization)
        .order_by(LedgerEntry.position),
        execution_options={"yield_per": PAGE},
    )
    async for update in updates:
        operation, _, rest = update.partition(" ")
        if operation == "DELETE":
            yield rest, -1
        elif operation == "TOUCH":
            new, was, old = rest.partition(WAS)
            if was:
                yield old, -1
            yield new, 1
