"""The heads of the chains. An auditor keeps them elsewhere and compares them with the chains later.

The hashes of a chain reveal an altered entry. They do not reveal that the end of the chain was cut off or
rewritten. A kept head does: the entry at its position must still have its hash.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated

from msgspec import Meta, MsgspecError, Struct, json
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.common.errors import Invalid
from teamaccess.common.formats.duplicates import read_json
from teamaccess.ledger.chains.chain import ChainKind, genesis_hash
from teamaccess.ledger.chains.read_chains import pages
from teamaccess.ledger.chains.walk import ChainFault, Fault

COMPARED_AT_ONCE = 1000

HEADS = text("""
SELECT 'ledger', organization_id, position, hash, decided_at
FROM ledger_heads WHERE organization_id = coalesce(:chain, organization_id)
UNION ALL
SELECT 'events', chain, position, head.hash, occurred_at
FROM event_heads AS head LEFT JOIN events USING (chain, position)
WHERE chain = coalesce(:chain, chain)
ORDER BY 1 DESC, 2
""")
HASHES_AT_KEPT_HEADS = text("""
SELECT coalesce(entry.hash, event.hash),
       CASE kept.kind WHEN 'ledger' THEN EXISTS (SELECT FROM ledger_heads WHERE organization_id = name)
                 ELSE EXISTS (SELECT FROM event_heads WHERE chain = name) END
FROM unnest(CAST(:kinds AS text[]), CAST(:chains AS text[]), CAST(:positions AS bigint[]))
  WITH ORDINALITY AS kept (kind, name, place, number)
LEFT JOIN ledger AS entry ON kept.kind = 'ledger' AND organization_id = name AND entry.position = place
LEFT JOIN events AS event ON kept.kind = 'events' AND event.chain = name AND event.position = place
ORDER BY number
""")
"""For each kept head, the present hash at its position, and whether its chain exists."""


class InvalidHeads(Invalid):
    """A line of the file is not a chain head."""

    message = (
        "{source}, line {line}: this is not a chain head ({mistake}). Use the output of "
        "`teamaccess ledger heads`."
    )


class KeptHead(Struct, frozen=True):
    """The head of a chain at some time. In a file, it is a line with a JSON object."""

    kind: ChainKind
    chain: Annotated[str, Meta(pattern="^(-|[a-z0-9-]{3,64})$")]
    """The organization's id, or `-` for the events of no organization."""
    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    at: datetime | None
    """When the entry was decided or the event occurred."""
    exported_at: datetime

    def fault(self, present_hash: bytes | None, *, chain_exists: bool) -> ChainFault | None:
        """Return the fault, given the present hash at this position and whether the chain exists."""
        if self.position == 0 and chain_exists:
            present_hash = genesis_hash(self.kind, self.chain)
        if present_hash is None:
            fault = Fault.KEPT_HEAD_MISSING if chain_exists else Fault.CHAIN_MISSING
        elif present_hash.hex() != self.hash:
            fault = Fault.KEPT_HEAD_DIFFERS
        else:
            return None
        return ChainFault(self.kind, self.chain, self.position, fault)


async def heads(connection: AsyncConnection, chain: str | None = None) -> AsyncIterator[KeptHead]:
    """Yield the heads of all chains, or of one organization's chains, from their rows."""
    now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    async for page in pages(connection, HEADS, chain=chain):
        for kind, name, position, hash, at in page:
            yield KeptHead(ChainKind(kind), name, position, hash.hex(), at, now)


def read_kept_heads(lines: Iterable[bytes], source: str) -> Iterator[KeptHead]:
    """Yield the heads of a file's lines. Raises InvalidHeads at a line without a valid head."""
    for number, line in enumerate(lines, 1):
        try:
            head = json.decode(line, type=KeptHead)
            read_json(line)  # refuses a key that is there twice; msgspec takes the last one
        except (MsgspecError, ValueError, RecursionError) as mistake:
            raise InvalidHeads(source=source, line=number, mistake=mistake) from None
        yield head


async def compare_heads(
    connection: AsyncConnection, kept: Iterable[KeptHead]
) -> AsyncIterator[ChainFault | None]:
    """Yield the fault of each kept head, None for a head that is in its place."""
    remaining = iter(kept)
    while batch := list(islice(remaining, COMPARED_AT_ONCE)):
        parameters = {
            "kinds": [head.kind.value for head in batch],
            "chains": [head.chain for head in batch],
            "positions": [head.position for head in batch],
        }
        rows = await connection.execute(HASHES_AT_KEPT_HEADS, parameters)
        for head, (present_hash, chain_exists) in zip(batch, rows, strict=True):
            yield head.fault(present_hash, chain_exists=chain_exists)
