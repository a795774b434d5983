"""The relationships of the rows, table by table, with one page in memory."""

from collections.abc import AsyncIterator
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, collate, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.writer import head_marker
from teamaccess.relationships import Relationship
from teamaccess.storage import LedgerHead, OrganizationId, RelationshipSource
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION

PAGE = 1000


async def expected_relationships(
    session: AsyncSession,
    source: type[RelationshipSource],
    organization: OrganizationId | None = None,
    resource_type: str = ORGANIZATION,
) -> AsyncIterator[list[Relationship]]:
    """Yield the relationships of the rows of one table, in pages.

    For one organization these are all relationships. Without an organization they are the relationships
    of resources of the type, ordered by tenant. The session's transaction stays open meanwhile.
    """
    table = cast(Table, source.__table__)
    statement: Select[Any] = select(table)
    if organization is None:
        in_order = _in_order(resource_type, table.c.organization_id)
        statement = statement.where(source.rows_of_type(resource_type)).order_by(in_order)
    else:
        statement = statement.where(table.c.organization_id == organization)
    rows = await session.stream(statement, execution_options={"yield_per": PAGE})
    async for page in rows.partitions():
        # `relationships` reads only columns. Building mapped objects would take twice as long.
        sources = (cast(RelationshipSource, row) for row in page)
        yield [relationship for row in sources for relationship in source.relationships(row)]


async def newest_markers(session: AsyncSession) -> AsyncIterator[list[Relationship]]:
    """Yield the head relationship of each organization, in pages, ordered by tenant."""
    rows = await session.stream(
        select(LedgerHead.organization_id, LedgerHead.position, LedgerHead.hash)
        .where(LedgerHead.position > 0)
        .order_by(_in_order(ORGANIZATION, LedgerHead.organization_id)),
        execution_options={"yield_per": PAGE},
    )
    async for page in rows.partitions():
        yield [head_marker(*row) for row in page]


async def count(session: AsyncSession, organization: OrganizationId) -> int:
    """Return the number of rows that may have relationships."""
    counts = [
        select(func.count())
        .select_from(table)
        .where(table.c.organization_id == organization)
        .scalar_subquery()
        for table in (
            cast(Table, source.__table__) for source in RelationshipSource.tables().values()
        )
    ]
    row = (await session.execute(select(*counts))).one()
    return sum(row)


def _in_order(resource_type: str, organization: Any) -> ColumnElement[str]:
    """Return SpiceDB's order of resource ids: bytewise, including the slash after a tenant's name."""
    alone = resource_type == ORGANIZATION
    return collate(organization if alone else func.concat(organization, "/"), "C")
