"""Verify that every ledger entry and every event is still there, as it was written."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.common.errors import Invalid
from teamaccess.ledger.chains.attestations import attestation_faults
from teamaccess.ledger.chains.heads import KeptHead, compare_heads
from teamaccess.ledger.chains.read_chains import ALL_CHAINS, Chains
from teamaccess.ledger.chains.related_records import application_faults, reason_faults
from teamaccess.ledger.chains.walk import ChainFault, ChainWalk
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
    """How much was verified as of one instant, and every fault."""

    as_of: datetime
    chains: int = 0
    entries: int = 0
    kept_heads: int = 0
    reasons: int = 0
    reasons_erased: int = 0
    """How many of the reasons were erased. An erased reason cannot be verified."""
    findings: list[ChainFault] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Whether there is no fault."""
        return not self.findings

    def add(self, fault: ChainFault | None) -> None:
        """Add a fault, if there is one."""
        if fault is not None:
            self.findings.append(fault)


async def entries_to_verify(connection: AsyncConnection, organization: str | None = None) -> int:
    """Return the number of entries according to the heads. It is exact enough to show progress."""
    return int((await connection.execute(ENTRIES, {"chain": organization})).scalar_one())


async def verify_chains(
    connection: AsyncConnection,
    organization: str | None = None,
    kept: Iterable[KeptHead] | None = None,
    progress: Progress = lambda _: None,
) -> Verification:
    """Verify all chains, or those of one organization, and their related records.

    Everything is read in the connection's transaction, which should be a `snapshot`. `progress` receives
    the number of entries verified since its last call. The result has the first fault of each chain, and
    the fault of each kept head. Raises UnknownOrganization, and NothingKept if `kept` has no head.
    """
    now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    result = Verification(as_of=now)
    if kept is not None:
        await _compare(connection, organization, kept, result)
    for chains in ALL_CHAINS:
        async for walk in _walks(connection, chains, organization, progress):
            result.chains += 1
            result.entries += walk.entries
            result.add(walk.finish())
    async for fault in application_faults(connection, organization):
        result.add(fault)
    async for fault in attestation_faults(connection, organization):
        result.add(fault)
    async for erased, altered in reason_faults(connection, organization):
        result.reasons += 1
        result.reasons_erased += erased
        result.add(altered)
    if organization is not None and result.chains + result.kept_heads == 0:
        raise UnknownOrganization(organization=organization)
    return result


async def _compare(
    connection: AsyncConnection,
    organization: str | None,
    kept: Iterable[KeptHead],
    result: Verification,
) -> None:
    selected = (head for head in kept if organization in (None, head.chain))
    async for fault in compare_heads(connection, selected):
        result.kept_heads += 1
        result.add(fault)
    if result.kept_heads == 0:
        raise NothingKept(what=organization or "any chain")


async def _walks(
    connection: AsyncConnection, chains: Chains, organization: str | None, progress: Progress
) -> AsyncIterator[ChainWalk]:
    """Yield a walk along each chain of a kind. Both queries return the chains in the same order."""
    heads = chains.heads(connection, organization)
    walk: ChainWalk | None = None
    async for links in chains.links(connection, organization):
        for link in links:
            while walk is None or walk.chain != link.chain:
                if walk is not None:
                    yield walk
                head = await anext(heads, None)
                if head is None:
                    raise OrderUnclear(link.chain)
                walk = ChainWalk(chains.kind, head)
            walk.step(link)
        progress(len(links))
    if walk is not None:
        yield walk
    async for head in heads:
        yield ChainWalk(chains.kind, head)
