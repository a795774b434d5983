"""Verify what events prove: that they explain each ledger entry, and that rows match their attestations.

Each query scans one or two tables once, and rows come in pages, so the tables may be larger than memory.
"""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.chain import ChainKind
from teamaccess.ledger.chains.explanations import RULES, explains
from teamaccess.ledger.chains.parts import DescribingEvent, UnreadableDetails
from teamaccess.ledger.chains.read_chains import pages
from teamaccess.ledger.chains.walk import ChainFault, Fault
from teamaccess.ledger.zed_tokens import is_zed_token

# Each entry with the events of its own transaction and origin. The oldest entries of a ledger may lack a
# transaction, because it was not recorded then. A later entry without an event was inserted without the
# application.
ENTRIES_WITH_EVENTS = text("""
WITH described AS MATERIALIZED (
  SELECT chain, transaction, actor, channel, request_id,
    array_agg(ARRAY[kind, coalesce(subject, ''), details::text]) AS events
  FROM events WHERE chain = coalesce(:chain, chain) AND transaction IS NOT NULL
  GROUP BY chain, transaction, actor, channel, request_id
)
SELECT entry.organization_id, organizations.deleted_at IS NOT NULL, entry.position, entry.actor,
  entry.updates, described.events
FROM (
  SELECT *, min(position) FILTER (WHERE transaction IS NOT NULL)
      OVER (PARTITION BY organization_id) AS first
  FROM ledger WHERE organization_id = coalesce(:chain, organization_id)) AS entry
LEFT JOIN organizations ON organizations.id = entry.organization_id
LEFT JOIN described ON described.chain = entry.organization_id
  AND described.transaction = entry.transaction AND described.actor = entry.actor
  AND described.channel = entry.channel AND described.request_id = entry.request_id
WHERE entry.position >= first
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
    async for page in pages(connection, ENTRIES_WITH_EVENTS, chain=chain):
        for name, ended, position, actor, updates, events in page:
            if (fault := _fault_of(name, ended, actor, updates, events)) is not None:
                yield ChainFault(ChainKind.LEDGER, name, position, fault)
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


def _fault_of(
    organization: str,
    ended: bool,
    actor: str,
    updates: Sequence[str],
    events: Sequence[Sequence[str]] | None,
) -> Fault | None:
    """Return why the events of its transaction do not explain an entry, None if they do."""
    described = [DescribingEvent(organization, ended, actor, *event) for event in events or ()]
    if not any(event.kind in RULES for event in described):
        return Fault.ENTRY_WITHOUT_EVENT
    try:
        explained = explains(described, updates)
    except UnreadableDetails:
        explained = False
    return None if explained else Fault.ENTRY_UNEXPLAINED
