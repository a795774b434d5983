"""Read the chains from PostgreSQL, in the order of their names and positions."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.chain import ChainKind, event_hash, ledger_hash
from teamaccess.ledger.chains.walk import HeadRow, Link
from teamaccess.ledger.session import create_pool

PAGE_SIZE = 100
"""Rows in memory at once. An entry of 900 updates has about 80 kB. Older events may have 4 MiB."""

# If `chain` is NULL, coalesce compares each chain with itself, so all chains match. A time that Python
# cannot represent (infinity, the year 10000) is read as NULL, because no entry was written at that time.
LEDGERS = text("""
SELECT chain, head.position, head.hash,
       CASE WHEN decided_at BETWEEN '0002-01-01' AND '9999-12-30' THEN decided_at END
FROM (SELECT id AS chain FROM organizations UNION SELECT organization_id FROM ledger_heads
      UNION SELECT organization_id FROM ledger) AS known
LEFT JOIN ledger_heads AS head ON head.organization_id = chain
WHERE chain = coalesce(:chain, chain) ORDER BY chain
""")
LEDGER_ENTRIES = text("""
SELECT organization_id, position, previous_hash,
       CASE WHEN decided_at BETWEEN '0002-01-01' AND '9999-12-30' THEN decided_at END,
       actor, channel, request_id, catalog_version, reason_hash, updates, hash
FROM ledger WHERE organization_id = coalesce(:chain, organization_id)
ORDER BY organization_id, position
""")
EVENT_CHAINS = text("""
SELECT chain, head.position, head.hash, NULL
FROM (SELECT chain FROM event_heads UNION SELECT chain FROM events) AS known
LEFT JOIN event_heads AS head USING (chain)
WHERE chain = coalesce(:chain, chain) ORDER BY chain
""")
EVENTS = text("""
SELECT chain, position, previous_hash,
       CASE WHEN occurred_at BETWEEN '0002-01-01' AND '9999-12-30' THEN occurred_at END,
       kind, actor, channel, request_id, subject, reason_hash, details::text, hash
FROM events WHERE chain = coalesce(:chain, chain)
ORDER BY chain, position
""")


@dataclass(frozen=True)
class Chains:
    """The chains of one kind: their queries, and the hash function of their entries."""

    kind: ChainKind
    heads_query: TextClause
    """Every chain that any table has, with the row of its head."""
    entries_query: TextClause
    """The parameters of `hash_of` for each entry, in order, and the entry's stored hash."""
    hash_of: Callable[..., bytes | None]

    async def heads(self, connection: AsyncConnection, chain: str | None) -> AsyncIterator[HeadRow]:
        """Yield every chain with the row of its head, or only the given chain."""
        async for page in pages(connection, self.heads_query, chain=chain):
            for row in page:
                yield HeadRow(*row)

    async def links(
        self, connection: AsyncConnection, chain: str | None
    ) -> AsyncIterator[list[Link]]:
        """Yield pages of entries: the chains in the order of `heads`, each by its positions."""
        async for page in pages(connection, self.entries_query, chain=chain):
            yield [self._link(*row) for row in page]

    def _link(self, *columns: Any) -> Link:
        *hashed, hash = columns
        chain, position, previous_hash, at = hashed[:4]
        return Link(chain, position, previous_hash, hash, self.hash_of(*hashed), at)


ALL_CHAINS = (
    Chains(ChainKind.LEDGER, LEDGERS, LEDGER_ENTRIES, ledger_hash),
    Chains(ChainKind.EVENTS, EVENT_CHAINS, EVENTS, event_hash),
)


async def pages(
    connection: AsyncConnection, query: TextClause, **parameters: Any
) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]]]:
    """Yield pages of rows through a server-side cursor, so that memory does not limit a result."""
    paged = query.execution_options(yield_per=PAGE_SIZE)
    async with connection.stream(paged, parameters) as result:
        # an asynchronous result ignores `yield_per`: without the size, one page would hold everything
        async for page in result.partitions(PAGE_SIZE):
            yield page


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection that reads everything as of one instant and blocks nobody."""
    engine = create_pool(url, connections=1)
    try:
        async with engine.connect() as connection:
            yield await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
    finally:
        await engine.dispose()
