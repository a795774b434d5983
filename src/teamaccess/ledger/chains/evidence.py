"""What must fit the chains without being in them: who told of an entry, and what rows are.

Each query goes through a table or two once, in PostgreSQL and on its disk, whatever their size.
"""

from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.chain import ChainKind
from teamaccess.ledger.chains.read_chains import pages
from teamaccess.ledger.chains.walk import ChainFault, Fault

# Entries of which no event of their own transaction tells. From before transactions were kept there is
# none, at the beginning of a ledger; later on an entry without one was put in.
UNTOLD = text("""
SELECT organization_id, position FROM (
  SELECT organization_id, position, transaction, actor, channel, request_id,
    min(position) FILTER (WHERE transaction IS NOT NULL)
      OVER (PARTITION BY organization_id) AS first
  FROM ledger WHERE organization_id = coalesce(:chain, organization_id)) AS entry
WHERE position >= first AND NOT EXISTS (
  SELECT FROM events AS event
  WHERE event.chain = organization_id AND event.transaction = entry.transaction
    AND event.actor = entry.actor AND event.channel = entry.channel
    AND event.request_id = entry.request_id
    AND event.kind NOT IN ('refused', 'acceptance_refused', 'sign_in_refused', 'signed_in', 'signed_out'))
""")
# Rows that are not as the newest event about them said.
ROWS = text("""
SELECT now.chain, coalesce(told.position, 0), now.key, told.key IS NULL
FROM attestable_rows() AS now
LEFT JOIN attested_rows AS told ON told.key = now.key
WHERE now.chain = coalesce(:chain, now.chain) AND told.proof IS DISTINCT FROM now.proof
""")
# What PostgreSQL keeps of the newest event about each row, against the events: first where the event says
# something else or is missing, then where a later one tells of the row.
ATTESTATIONS = text("""
SELECT told.chain, told.position, told.key FROM attested_rows AS told
LEFT JOIN events AS event ON event.chain = told.chain AND event.position = told.position
WHERE told.chain = coalesce(:chain, told.chain) AND told.position > 0
  AND event.details -> 'attests' ->> told.key IS DISTINCT FROM told.proof
UNION ALL
SELECT event.chain, event.position, said.key FROM events AS event
CROSS JOIN jsonb_object_keys(event.details -> 'attests') AS said (key)
JOIN attested_rows AS told ON told.key = said.key
WHERE event.chain = coalesce(:chain, event.chain) AND event.details ? 'attests'
  AND told.chain = event.chain AND told.position < event.position
""")
# Times that have not come, of what is compared or used at times.
AHEAD = text("""
SELECT organization_id, 'reconciliation:' || organization_id FROM reconciliations
WHERE greatest(checked_at, asked_at) > clock_timestamp()
  AND organization_id = coalesce(:chain, organization_id)
UNION ALL
SELECT organization_id, 'finding:' || id FROM findings
WHERE greatest(found_at, resolved_at) > clock_timestamp()
  AND organization_id = coalesce(:chain, organization_id)
UNION ALL
SELECT organization_id, 'api_token:' || organization_id || '/' || id FROM api_tokens
WHERE last_used_at > clock_timestamp()
  AND organization_id = coalesce(:chain, organization_id)
""")


async def evidence(connection: AsyncConnection, chain: str | None) -> AsyncIterator[ChainFault]:
    """Yield everything that does not fit the chains, of one organization or of all."""
    async for page in pages(connection, UNTOLD, chain=chain):
        for name, position in page:
            yield ChainFault(ChainKind.LEDGER, name, position, Fault.ENTRY_WITHOUT_EVENT)
    async for page in pages(connection, ROWS, chain=chain):
        for name, position, row, unknown in page:
            fault = Fault.ROW_UNATTESTED if unknown else Fault.ROW_DIFFERS
            yield ChainFault(ChainKind.EVENTS, name, position, fault, row)
    async for page in pages(connection, ATTESTATIONS, chain=chain):
        for name, position, row in page:
            yield ChainFault(ChainKind.EVENTS, name, position, Fault.ATTESTATION_ALTERED, row)
    async for page in pages(connection, AHEAD, chain=chain):
        for name, row in page:
            yield ChainFault(ChainKind.EVENTS, name, 0, Fault.TIME_AHEAD, row)
