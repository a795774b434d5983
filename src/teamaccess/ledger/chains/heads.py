"""The heads of the chains: to be kept elsewhere, and compared later with what is there then.

A chain shows that nothing in it was altered, but not that nobody wrote it anew from some entry on, or
cut it off there. Whoever has kept a head sees that: the entry at its position must still have its hash.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated

from msgspec import Meta, MsgspecError, Struct, json
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.common.errors import Invalid
from teamaccess.ledger.chains.chain import ChainKind, beginning
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
PRESENT = text("""
SELECT coalesce(entry.hash, event.hash),
       CASE kept.kind WHEN 'ledger' THEN EXISTS (SELECT FROM ledger_heads WHERE organization_id = name)
                 ELSE EXISTS (SELECT FROM event_heads WHERE chain = name) END
FROM unnest(CAST(:kinds AS text[]), CAST(:chains AS text[]), CAST(:positions AS bigint[]))
  WITH ORDINALITY AS kept (kind, name, place, number)
LEFT JOIN ledger AS entry ON kept.kind = 'ledger' AND organization_id = name AND entry.position = place
LEFT JOIN events AS event ON kept.kind = 'events' AND event.chain = name AND event.position = place
ORDER BY number
""")
"""For each kept head the hash that is at its position now, and whether its chain is known at all."""


class InvalidHeads(Invalid):
    """A line of the file is not a chain head."""

    message = (
        "{source}, line {line}: this is not a chain head ({mistake}). Use the output of "
        "`teamaccess ledger heads`."
    )


class KeptHead(Struct, frozen=True):
    """Where a chain ended at some time; in a file, a JSON object a line."""

    kind: ChainKind
    chain: Annotated[str, Meta(pattern="^(-|[a-z0-9-]{3,64})$")]
    """The organization's id; `-` for the events that belong to none."""
    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    hash: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    at: datetime | None
    """When the entry was decided or the event occurred."""
    exported_at: datetime

    def finding(self, present: bytes | None, *, known: bool) -> ChainFault | None:
        """Return what is wrong, given the hash at this position now and whether there is a chain."""
        if self.position == 0 and known:
            present = beginning(self.kind, self.chain)
        if present is None:
            fault = Fault.KEPT_HEAD_MISSING if known else Fault.CHAIN_MISSING
        elif present.hex() != self.hash:
            fault = Fault.KEPT_HEAD_DIFFERS
        else:
            return None
        return ChainFault(self.kind, self.chain, self.position, fault)


async def heads(connection: AsyncConnection, chain: str | None = None) -> AsyncIterator[KeptHead]:
    """The heads of all chains, or of one organization's, as their rows tell them."""
    now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    async for page in pages(connection, HEADS, chain=chain):
        for kind, name, position, hash, at in page:
            yield KeptHead(ChainKind(kind), name, position, hash.hex(), at, now)


def kept_in(lines: Iterable[bytes], source: str) -> Iterator[KeptHead]:
    """The heads in the lines of a file, as they are read; raises InvalidHeads at a line that has none."""
    for number, line in enumerate(lines, 1):
        try:
            yield json.decode(line, type=KeptHead)
        except MsgspecError as mistake:
            raise InvalidHeads(source=source, line=number, mistake=mistake) from None


async def compared(
    connection: AsyncConnection, kept: Iterable[KeptHead]
) -> AsyncIterator[ChainFault | None]:
    """For each kept head what is wrong with it now, if anything is."""
    remaining = iter(kept)
    while batch := list(islice(remaining, COMPARED_AT_ONCE)):
        asked = {
            "kinds": [head.kind.value for head in batch],
            "chains": [head.chain for head in batch],
            "positions": [head.position for head in batch],
        }
        rows = await connection.execute(PRESENT, asked)
        for head, (present, known) in zip(batch, rows, strict=True):
            yield head.finding(present, known=known)
