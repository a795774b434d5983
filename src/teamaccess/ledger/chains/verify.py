"""Whether everything that was ever decided and told is still there, as it was written."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.common.errors import Invalid
from teamaccess.ledger.chains.evidence import evidence
from teamaccess.ledger.chains.heads import KeptHead, compared
from teamaccess.ledger.chains.read_chains import ALL_CHAINS, Chains
from teamaccess.ledger.chains.related_records import applications, reasons
from teamaccess.ledger.chains.walk import ChainFault, Walk
from teamaccess.ledger.errors import UnknownOrganization

ENTRIES = text("""
SELECT coalesce(sum(position), 0)::bigint FROM (
  SELECT organization_id AS chain, position FROM ledger_heads
  UNION ALL SELECT chain, position FROM event_heads) AS heads
WHERE chain = coalesce(:chain, chain)
""")

Progress = Callable[[int], None]


class NothingKept(Invalid):
    """The file has no chain head to compare with."""

    message = "The file has no chain head of {what} to compare with. Use a file that has one."


class OrderUnclear(RuntimeError):
    """PostgreSQL sorts the chains in two ways: an index is damaged, or older than its collation."""


@dataclass
class Verification:
    """What was looked at, as it was at one instant, and everything that does not hold."""

    as_of: datetime
    chains: int = 0
    entries: int = 0
    kept_heads: int = 0
    reasons: int = 0
    reasons_erased: int = 0
    """Of those; a reason may be erased, and then nothing tells what it was."""
    findings: list[ChainFault] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def take(self, finding: ChainFault | None) -> None:
        """Take in what was found, if it is something."""
        if finding is not None:
            self.findings.append(finding)


async def entries_to_verify(connection: AsyncConnection, organization: str | None = None) -> int:
    """Return how many entries there are by the rows of the heads: enough to tell how far it is."""
    return int((await connection.execute(ENTRIES, {"chain": organization})).scalar_one())


async def verify_chains(
    connection: AsyncConnection,
    organization: str | None = None,
    kept: Iterable[KeptHead] | None = None,
    progress: Progress = lambda _: None,
) -> Verification:
    """Compute all chains again, or one organization's, and look after what belongs to them.

    Everything is read in the connection's transaction, which should be a `snapshot`. `progress` is
    told how many entries more were looked at. Of each chain the first fault is found, and of the kept
    heads every one that is not in its place. Raises UnknownOrganization, and NothingKept where heads
    were to be compared and there are none.
    """
    now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    found = Verification(as_of=now)
    if kept is not None:
        await _compare(connection, organization, kept, found)
    for chains in ALL_CHAINS:
        async for walk in _walks(connection, chains, organization, progress):
            found.chains += 1
            found.entries += walk.entries
            found.take(walk.end())
    async for finding in applications(connection, organization):
        found.take(finding)
    async for finding in evidence(connection, organization):
        found.take(finding)
    async for erased, altered in reasons(connection, organization):
        found.reasons += 1
        found.reasons_erased += erased
        found.take(altered)
    if organization is not None and found.chains + found.kept_heads == 0:
        raise UnknownOrganization(organization=organization)
    return found


async def _compare(
    connection: AsyncConnection,
    organization: str | None,
    kept: Iterable[KeptHead],
    found: Verification,
) -> None:
    wanted = (head for head in kept if organization in (None, head.chain))
    async for finding in compared(connection, wanted):
        found.kept_heads += 1
        found.take(finding)
    if found.kept_heads == 0:
        raise NothingKept(what=organization or "any chain")


async def _walks(
    connection: AsyncConnection, chains: Chains, organization: str | None, progress: Progress
) -> AsyncIterator[Walk]:
    """Go along every chain of a kind to its end; both queries tell them in the same order."""
    heads = chains.heads(connection, organization)
    walk: Walk | None = None
    async for links in chains.links(connection, organization):
        for link in links:
            while walk is None or walk.chain != link.chain:
                if walk is not None:
                    yield walk
                head = await anext(heads, None)
                if head is None:
                    raise OrderUnclear(link.chain)
                walk = Walk(chains.kind, head)
            walk.step(link)
        progress(len(links))
    if walk is not None:
        yield walk
    async for head in heads:
        yield Walk(chains.kind, head)
