"""Everything that bad input must leave unchanged."""

from dataclasses import dataclass

from authzed.api.v1 import RelationshipFilter
from sqlalchemy import text

from teamaccess.storage import Base
from tests.support.organization import Organization

MAY_CHANGE = {"events", "event_heads", "activity", "ledger_notes"}
"""Tables in which a refusal may leave a trace."""


@dataclass(frozen=True)
class Snapshot:
    """The rows of every table, the position of the ledger, and SpiceDB's content of an
    organization.
    """

    tables: dict[str, str]
    ledger: list[list[str]]
    relationships: list[str]


async def snapshot(organization: Organization) -> Snapshot:
    """Take one now."""
    tables = {}
    async with organization.deployment.service.reads() as session:
        for table in Base.metadata.tables.keys() - MAY_CHANGE:
            digest = "count(*) || ' ' || md5(string_agg(t::text, '' ORDER BY t::text))"
            found = await session.execute(text(f'SELECT {digest} FROM "{table}" t'))
            tables[table] = str(found.scalar_one())
    return Snapshot(tables, await organization.ledger(), await _relationships(organization))


async def _relationships(organization: Organization) -> list[str]:
    engine = organization.deployment.service.engine
    wanted = [
        RelationshipFilter(resource_type="organization", optional_resource_id=organization.id),
        RelationshipFilter(optional_resource_id_prefix=f"{organization.id}/"),
    ]
    return sorted([str(found) for each in wanted async for found, _ in engine.read(each)])
