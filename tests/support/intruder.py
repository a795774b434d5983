"""An attacker with full access to the tables who knows how the chains are computed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger.chains.heads import KeptHead, heads
from teamaccess.ledger.chains.verify import Verification, verify_chains
from teamaccess.ledger.chains.walk import Fault
from tests.support.organization import Organization

CHAIN_COLUMNS = {"ledger": "organization_id", "events": "chain"}
"""The tables of the chains, and the column with the chain's name."""
HEADS = {"ledger": "ledger_heads", "events": "event_heads"}
EVIDENCE = (
    Fault.ENTRY_WITHOUT_EVENT,
    Fault.ROW_UNATTESTED,
    Fault.ROW_DIFFERS,
    Fault.ATTESTATION_ALTERED,
    Fault.TIME_AHEAD,
    Fault.ENTRY_UNEXPLAINED,
    Fault.SKIPPED_WITHOUT_EVENT,
)
EMPTY_ORGANIZATION = (
    "INSERT INTO organizations (id, name) VALUES ('empty-one', 'Empty')",
    """
    INSERT INTO events (chain, kind, actor, channel, request_id, subject, details) VALUES
    ('empty-one', 'organization_created', 'operator:ines', 'operator', 'r',
    'organization:empty-one', '{}')
    """,
)
"""Create an organization without any entry, as an operator does."""
HASHES = {"ledger": "ledger_hash(t)", "events": "event_hash(t)"}


def of(organization: Organization, table: str, position: int | None = None) -> str:
    """The condition for an organization's entries in a table, or for one of them."""
    at = "" if position is None else f" AND position = {position}"
    return f"{CHAIN_COLUMNS[table]} = '{organization.id}'{at}"


@dataclass
class Intruder:
    """A superuser in a transaction that is rolled back at the end. Triggers are disabled."""

    connection: AsyncConnection

    async def do(self, *statements: str) -> None:
        """Run the statements."""
        for statement in statements:
            await self.connection.exec_driver_sql(statement)

    async def ask(self, query: str) -> Any:
        """The only value of the only row."""
        return (await self.connection.exec_driver_sql(query)).scalar_one()

    async def last(self, organization: Organization, table: str) -> int:
        """The position of the last entry."""
        return int(
            await self.ask(f"SELECT max(position) FROM {table} WHERE {of(organization, table)}")
        )

    async def end_at(self, organization: Organization, table: str, position: int) -> None:
        """Let the row of the head say that the chain ends there."""
        at = ", decided_at = e.decided_at" if table == "ledger" else ""
        await self.do(
            f"UPDATE {HEADS[table]} h SET position = e.position, hash = e.hash{at} FROM {table} e"
            f" WHERE h.{CHAIN_COLUMNS[table]} = e.{CHAIN_COLUMNS[table]} AND e.{of(organization, table)}"
            f" AND e.position = {position}"
        )

    async def rehash_from(self, organization: Organization, table: str, start: int) -> None:
        """Compute the hashes again, as PostgreSQL does, from an entry to the last; update the head."""
        name, last = CHAIN_COLUMNS[table], await self.last(organization, table)
        for position in range(start, last + 1):
            here = f"t.{name} = '{organization.id}' AND t.position = {position}"
            await self.do(
                f"UPDATE {table} t SET previous_hash = p.hash FROM {table} p WHERE {here}"
                f" AND p.{name} = t.{name} AND p.position = t.position - 1",
                f"UPDATE {table} t SET hash = {HASHES[table]} WHERE {here}",
            )
        await self.end_at(organization, table, last)

    async def kept(self, organization: Organization) -> list[KeptHead]:
        """The heads of the organization, as an auditor would keep them now."""
        return [head async for head in heads(self.connection, organization.id)]

    async def verify(
        self, organization: Organization, kept: Iterable[KeptHead] | None = None
    ) -> Verification:
        """Verify the organization as the intruder left it."""
        return await verify_chains(self.connection, organization.id, kept)

    async def verify_everything(self) -> Verification:
        """Verify all chains as the intruder left them."""
        return await verify_chains(self.connection)

    async def chain_findings(
        self, organization: Organization, kept: Iterable[KeptHead] | None = None
    ) -> list[str]:
        """The findings in the chains, each as `kind position fault`."""
        return [
            each
            for each in await self.all_findings(organization, kept)
            if not each.endswith(EVIDENCE)
        ]

    async def all_findings(
        self, organization: Organization, kept: Iterable[KeptHead] | None = None
    ) -> list[str]:
        """The findings in the chains, and rows and entries that do not match them."""
        findings = (await self.verify(organization, kept)).findings
        assert all(finding.chain == organization.id for finding in findings)
        return [f"{each.kind} {each.position} {each.fault}" for each in findings]
