"""What the rows stand for, table by table, without keeping more of it than a page."""

from collections.abc import AsyncIterator
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, collate, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger.entry import head_marker
from teamaccess.relationships import Relationship
from teamaccess.storage import LedgerHead, OrganizationId, RelationshipSource
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION

PAGE = 1000


async def meant(
    session: AsyncSession,
    source: type[RelationshipSource],
    organization: OrganizationId | None = None,
    resource_type: str = ORGANIZATION,
) -> AsyncIterator[list[Relationship]]:
    """Yield what the rows of one table stand for, in pages.

    Of one organization that is everything; of all it is what is about resources of the type, in the
    order of their tenants.

    The session's transaction stays open meanwhile.
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
        # The columns are all it looks at; to make mapped objects of them would take twice as long.
        mine = (cast(RelationshipSource, row) for row in page)
        yield [relationship for row in mine for relationship in source.relationships(row)]


async def newest_markers(session: AsyncSession) -> AsyncIterator[list[Relationship]]:
    """Yield the marker of each organization's newest position, in pages, in their tenants' order."""
    rows = await session.stream(
        select(LedgerHead.organization_id, LedgerHead.position, LedgerHead.hash)
        .where(LedgerHead.position > 0)
        .order_by(_in_order(ORGANIZATION, LedgerHead.organization_id)),
        execution_options={"yield_per": PAGE},
    )
    async for page in rows.partitions():
        yield [head_marker(*row) for row in page]


async def count(session: AsyncSession, organization: OrganizationId) -> int:
    """Return how many rows there are that may stand for something."""
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
    """As SpiceDB sorts the ids of resources, bytewise; the slash after a tenant's name counts."""
    alone = resource_type == ORGANIZATION
    return collate(organization if alone else func.concat(organization, "/"), "C")
