"""Make SpiceDB differ from the rows, and compare as `teamaccess reconcile` does."""

from collections.abc import Iterable

from sqlalchemy import text

from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.upkeep.reconciliation import DeleteBudget, Inspector, ReconcileResult
from tests.support.agreement import spicedb_relationships
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization

REQUEST_COMPARISON = text("""
INSERT INTO reconciliations (organization_id, checked_at, differences, asked_at)
VALUES (:organization, clock_timestamp(), 0, clock_timestamp())
ON CONFLICT (organization_id) DO UPDATE SET asked_at = clock_timestamp()
""")


async def add_to_spicedb(deployment: Deployment, *texts: str) -> None:
    """Write relationships straight into SpiceDB."""
    await deployment.service.engine.write([Touch(Relationship.parse(text)) for text in texts])


async def delete_from_spicedb(deployment: Deployment, *texts: str) -> None:
    """Delete relationships straight from SpiceDB."""
    await deployment.service.engine.write([Delete(Relationship.parse(text)) for text in texts])


async def request_comparison(organization: Organization) -> None:
    """Have it compared before all others."""
    async with organization.deployment.service.reads() as session:
        await session.execute(REQUEST_COMPARISON, {"organization": organization.id})


def create_inspector(deployment: Deployment, max_deletes: int | None = None) -> Inspector:
    """Return an inspector as the command has it. It repairs if a number of deletes is given."""
    service = deployment.service
    budget = None if max_deletes is None else DeleteBudget(max_deletes)
    return Inspector(service.ledger, service.engine, service.catalog, OPERATOR, budget)


async def compare_all(
    deployment: Deployment, max_deletes: int | None = None
) -> dict[str, ReconcileResult]:
    """Compare everything. Returns the organizations that differ, by id."""
    results = create_inspector(deployment, max_deletes).reconcile_all(lambda seen: None)
    return {result.organization: result async for result in results}


async def compare_one(
    organization: Organization, max_deletes: int | None = None
) -> ReconcileResult:
    """Compare one organization."""
    return await create_inspector(organization.deployment, max_deletes).reconcile_tenant(
        organization.id
    )


async def spicedb_texts(organization: Organization) -> list[str]:
    """The organization's relationships in SpiceDB as sorted texts, without markers."""
    return _sorted(await spicedb_relationships(organization))


def _sorted(relationships: Iterable[Relationship]) -> list[str]:
    return sorted(map(str, relationships))
