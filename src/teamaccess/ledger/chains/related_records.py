"""Verify the records of entries that are outside of the chains: applications and reasons."""

from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.chain import ChainKind, reason_hash
from teamaccess.ledger.chains.read_chains import pages
from teamaccess.ledger.chains.walk import ChainFault, Fault

# For each organization, the first entry without an application, which no worker will ever deliver, and
# the first application without its entry.
APPLICATIONS = text("""
SELECT organization_id, min(position) FILTER (WHERE application.here IS NULL),
       min(position) FILTER (WHERE entry.here IS NULL)
FROM (SELECT organization_id, position, true AS here FROM ledger
      WHERE organization_id = coalesce(:chain, organization_id)) AS entry
FULL JOIN (SELECT organization_id, position, true AS here FROM ledger_applications
           WHERE organization_id = coalesce(:chain, organization_id)) AS application
USING (organization_id, position)
WHERE application.here IS NULL OR entry.here IS NULL
GROUP BY organization_id ORDER BY organization_id
""")
# Each reason once, at the first entry with it.
REASONS = text("""
SELECT DISTINCT ON (hash) kind, chain, position, hash, salt, reasons.text
FROM (SELECT 'ledger' AS kind, organization_id AS chain, position, reason_hash AS hash FROM ledger
      UNION ALL SELECT 'events', chain, position, reason_hash FROM events) AS given
LEFT JOIN reasons USING (hash)
WHERE hash IS NOT NULL AND chain = coalesce(:chain, chain)
ORDER BY hash, kind DESC, chain, position
""")


async def application_faults(
    connection: AsyncConnection, organization: str | None
) -> AsyncIterator[ChainFault]:
    """Yield for each ledger the first entry without its application, and the reverse."""
    async for page in pages(connection, APPLICATIONS, chain=organization):
        for chain, unapplied_entry, unmatched_application in page:
            if unapplied_entry is not None:
                yield ChainFault(
                    ChainKind.LEDGER, chain, unapplied_entry, Fault.APPLICATION_MISSING
                )
            if unmatched_application is not None:
                yield ChainFault(
                    ChainKind.LEDGER, chain, unmatched_application, Fault.APPLICATION_ALONE
                )


async def reason_faults(
    connection: AsyncConnection, organization: str | None
) -> AsyncIterator[tuple[bool, ChainFault | None]]:
    """Yield for each entry's reason whether it was erased, and its fault, if any."""
    async for page in pages(connection, REASONS, chain=organization):
        for kind, chain, position, hash, salt, reason in page:
            erased = salt is None
            altered = not erased and reason_hash(salt, reason) != hash
            fault = ChainFault(ChainKind(kind), chain, position, Fault.REASON_ALTERED)
            yield erased, fault if altered else None
