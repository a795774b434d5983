"""Verify what events prove: that they explain each ledger entry, and that rows match their attestations.

Each query scans one or two tables once, and rows come in pages, so the tables may be larger than memory.
"""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.chain import ChainKind
from teamaccess.ledger.chains.explanations import RULES, explains
from teamaccess.ledger.chains.parts import DescribingEvent, UnreadableDetails
from teamaccess.ledger.chains.read_chains import pages
from teamaccess.ledger.chains.walk import ChainFault, Fault
from teamaccess.ledger.zed_tokens import is_zed_token

READ_AT_ONCE = 65_536
"""Bytes of the events of one transaction that are read together with its entries."""
MOST_BYTES, MOST_EVENTS = 67_108_864, 5_000
"""Larger transactions explain nothing. The application writes at most a thousand events in one."""

# Each entry with the events of its own transaction and origin. The oldest entries of a ledger may lack a
# transaction, because it was not recorded then. A later entry without an event was inserted without the
# application. Only kinds that can explain an entry are read. The events of a large transaction are read
# together with its entry, and not before, so that memory does not limit how many there are.
ENTRIES_WITH_EVENTS = text("""
WITH described AS MATERIALIZED (
  SELECT chain, transaction, actor, channel, request_id,
    min(position) AS first, max(position) AS last, min(size) AS size, min(number) AS number,
    array_agg(ARRAY[kind, coalesce(subject, ''), details::text, position::text])
      FILTER (WHERE size <= :at_once) AS events
  FROM (
    SELECT *, count(*) OVER one_transaction AS number,
      sum(200 + octet_length(concat(kind, subject)) + octet_length(details::text))
        OVER one_transaction AS size
    FROM events WHERE chain = coalesce(:chain, chain) AND transaction IS NOT NULL
      AND kind = ANY (CAST(:kinds AS text[]))
    WINDOW one_transaction AS (PARTITION BY chain, transaction)) AS explaining
  GROUP BY chain, transaction, actor, channel, request_id
)
SELECT entry.organization_id, organizations.deleted_at IS NOT NULL AS ended, entry.position, entry.actor,
  entry.channel, entry.request_id, entry.transaction::text AS transaction,
  entry.updates, described.events, described.first, described.last, described.size, described.number
FROM (
  SELECT *, min(position) FILTER (WHERE transaction IS NOT NULL)
      OVER (PARTITION BY organization_id) AS first
  FROM ledger WHERE organization_id = coalesce(:chain, organization_id)) AS entry
LEFT JOIN organizations ON organizations.id = entry.organization_id
LEFT JOIN described ON described.chain = entry.organization_id
  AND described.transaction = entry.transaction AND described.actor = entry.actor
  AND described.channel = entry.channel AND described.request_id = entry.request_id
WHERE entry.position >= entry.first
""")
EVENTS_OF_TRANSACTION = text("""
SELECT kind, coalesce(subject, ''), details::text, position FROM events
WHERE chain = :chain AND position BETWEEN :first AND :last
  AND transaction = CAST(CAST(:transaction AS text) AS xid8)
  AND actor = :actor AND channel = :channel AND request_id = :request_id
  AND kind = ANY (CAST(:kinds AS text[]))
ORDER BY position
""")
# Positions that count as skipped without the event of an operator who skipped them.
SKIPPED_WITHOUT_EVENT = text("""
SELECT organization_id, position FROM ledger_applications
WHERE status = 'skipped' AND organization_id = coalesce(:chain, organization_id) AND NOT EXISTS (
  SELECT FROM events WHERE chain = organization_id AND kind = 'ledger_skipped'
    AND details ->> 'position' = ledger_applications.position::text)
""")
# Refused positions before one that was applied. Entries are applied in order, so these stop nothing.
REFUSED_BEFORE_APPLIED = text("""
SELECT refused.organization_id, refused.position FROM ledger_applications AS refused
WHERE refused.status = 'refused' AND refused.organization_id = coalesce(:chain, refused.organization_id)
  AND EXISTS (SELECT FROM ledger_applications AS later
    WHERE later.organization_id = refused.organization_id AND later.position > refused.position
      AND later.status IN ('applied', 'skipped'))
""")
# The newest position that was applied, with its ZedToken.
NEWEST_TOKENS = text("""
SELECT heads.organization_id, last.position, last.zed_token FROM ledger_heads AS heads
CROSS JOIN LATERAL (
  SELECT position, zed_token FROM ledger_applications
  WHERE organization_id = heads.organization_id AND status IN ('applied', 'skipped')
  ORDER BY position DESC LIMIT 1) AS last
WHERE heads.organization_id = coalesce(:chain, heads.organization_id) AND last.zed_token IS NOT NULL
""")
# Rows that differ from the newest event about them.
ROWS = text("""
SELECT now.chain, coalesce(attested.position, 0), now.key, attested.key IS NULL
FROM attestable_rows() AS now
LEFT JOIN attested_rows AS attested ON attested.key = now.key
WHERE now.chain = coalesce(:chain, now.chain) AND attested.proof IS DISTINCT FROM now.proof
""")
# Attestations that differ from the events: first those whose event differs or is missing, then those that
# a later event about the row should have replaced.
ATTESTATIONS = text("""
SELECT attested.chain, attested.position, attested.key FROM attested_rows AS attested
LEFT JOIN events AS event ON event.chain = attested.chain AND event.position = attested.position
WHERE attested.chain = coalesce(:chain, attested.chain) AND attested.position > 0
  AND event.details -> 'attests' ->> attested.key IS DISTINCT FROM attested.proof
UNION ALL
SELECT event.chain, event.position, named.key FROM events AS event
CROSS JOIN jsonb_object_keys(event.details -> 'attests') AS named (key)
JOIN attested_rows AS attested ON attested.key = named.key
WHERE event.chain = coalesce(:chain, event.chain) AND event.details ? 'attests'
  AND attested.chain = event.chain AND attested.position < event.position
""")
# Rows with a time in the future.
TIMES_AHEAD = text("""
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


async def attestation_faults(
    connection: AsyncConnection, chain: str | None
) -> AsyncIterator[ChainFault]:
    """Yield every entry, row and attestation that the events do not prove, of one chain or of all."""
    kinds = list(RULES)
    entries = pages(connection, ENTRIES_WITH_EVENTS, chain=chain, kinds=kinds, at_once=READ_AT_ONCE)
    async for page in entries:
        for entry in page:
            if (fault := await _fault_of(connection, entry)) is not None:
                yield ChainFault(ChainKind.LEDGER, entry.organization_id, entry.position, fault)
    async for page in pages(connection, SKIPPED_WITHOUT_EVENT, chain=chain):
        for name, position in page:
            yield ChainFault(ChainKind.LEDGER, name, position, Fault.SKIPPED_WITHOUT_EVENT)
    async for page in pages(connection, REFUSED_BEFORE_APPLIED, chain=chain):
        for name, position in page:
            yield ChainFault(ChainKind.LEDGER, name, position, Fault.REFUSED_BEFORE_APPLIED)
    async for page in pages(connection, NEWEST_TOKENS, chain=chain):
        for name, position, token in page:
            if not is_zed_token(token):
                yield ChainFault(ChainKind.LEDGER, name, position, Fault.ZED_TOKEN_UNREADABLE)
    async for page in pages(connection, ROWS, chain=chain):
        for name, position, row, unknown in page:
            fault = Fault.ROW_UNATTESTED if unknown else Fault.ROW_DIFFERS
            yield ChainFault(ChainKind.EVENTS, name, position, fault, row)
    async for page in pages(connection, ATTESTATIONS, chain=chain):
        for name, position, row in page:
            yield ChainFault(ChainKind.EVENTS, name, position, Fault.ATTESTATION_ALTERED, row)
    async for page in pages(connection, TIMES_AHEAD, chain=chain):
        for name, row in page:
            yield ChainFault(ChainKind.EVENTS, name, 0, Fault.TIME_AHEAD, row)


async def _fault_of(connection: AsyncConnection, entry: Row[*tuple[Any, ...]]) -> Fault | None:
    """Return why the events of its transaction do not explain an entry, None if they do."""
    if entry.number is None:
        return Fault.ENTRY_WITHOUT_EVENT
    events = entry.events
    if events is None and entry.size <= MOST_BYTES and entry.number <= MOST_EVENTS:
        parameters = {
            "chain": entry.organization_id,
            "first": entry.first,
            "last": entry.last,
            "transaction": entry.transaction,
            "actor": entry.actor,
            "channel": entry.channel,
            "request_id": entry.request_id,
            "kinds": list(RULES),
        }
        events = (await connection.execute(EVENTS_OF_TRANSACTION, parameters)).all()
    described = [
        DescribingEvent(entry.organization_id, entry.ended, entry.actor, *event)
        for event in events or ()
    ]
    try:
        explained = explains(described, entry.updates)
    except UnreadableDetails:
        explained = False
    return None if explained else Fault.ENTRY_UNEXPLAINED
