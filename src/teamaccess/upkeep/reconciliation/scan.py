"""One pass over all relationships, which finds the tenants that may have drifted.

Each side is summed by tenant, and the sums are compared. So memory holds one page of each side, whatever
the number and the size of the organizations. A sum adds 64-bit hashes. Python seeds them differently in
each process, so nobody can prepare relationships that cancel each other.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Unavailable
from teamaccess.delivery.writer import APPLIED
from teamaccess.engine import Engine, ObjectFilter, StoredRelationship
from teamaccess.ledger import Sessions, database_time
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.relationships import Relationship
from teamaccess.storage import RelationshipSource
from teamaccess.upkeep.reconciliation.rows import expected_relationships, newest_markers
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, Tenant, key_of

OnProgress = Callable[[int], None]
"""Called with the number of relationships that were read since the last call."""


class Unsorted(Unavailable):
    """SpiceDB's database does not sort bytewise, so its relationships cannot be compared in one pass."""

    message = (
        "The permission engine does not list {type} in bytewise order ({before} came before "
        "{after}). Give its database the collation C."
    )


class TenantSum(NamedTuple):
    """One side's sum for a tenant."""

    key: str
    sum: int


async def find_suspects(
    sessions: Sessions, engine: Engine, catalog: Catalog, on_progress: OnProgress
) -> AsyncIterator[Tenant]:
    """Yield the tenants whose rows and SpiceDB seem to differ, while both go on changing."""
    for resource_type in catalog.resource_types:
        async with sessions() as session:
            await session.execute(ALLOW_LONG_TRANSACTION)
            now = await database_time(session)
            sides = [
                *(
                    _summed(resource_type, _texts(pages, now))
                    for pages in _expected_pages(session, resource_type)
                ),
                _summed(resource_type, _stored(engine, resource_type, on_progress), sign=-1),
            ]
            async for key in _unbalanced(sides):
                yield Tenant(resource_type, key)


def _expected_pages(
    session: AsyncSession, resource_type: str
) -> list[AsyncIterator[list[Relationship]]]:
    sources = RelationshipSource.tables().values()
    pages = [expected_relationships(session, each, resource_type=resource_type) for each in sources]
    # Markers do not count, but heads do: a SpiceDB without an organization's head was replaced.
    return [*pages, newest_markers(session)] if resource_type == ORGANIZATION else pages


async def _texts(
    pages: AsyncIterator[list[Relationship]], now: datetime
) -> AsyncIterator[Iterable[tuple[str, str]]]:
    async for page in pages:
        yield [(each.resource.id, str(each)) for each in page if not each.expired(now)]


async def _stored(
    engine: Engine, resource_type: str, on_progress: OnProgress
) -> AsyncIterator[Iterable[tuple[str, str]]]:
    async with aclosing(engine.export(ObjectFilter(resource_type))) as pages:
        async for page in pages:
            on_progress(len(page))
            yield [(each.resource_id, each.text) for each in page if not _is_marker(each)]


def _is_marker(stored: StoredRelationship) -> bool:
    return stored.relation == APPLIED


async def _summed(
    resource_type: str, pages: AsyncIterator[Iterable[tuple[str, str]]], sign: int = 1
) -> AsyncIterator[TenantSum]:
    """Yield one sum for each tenant. Raises Unsorted if the pages are not ordered by tenant."""
    current, total = "", 0
    async for page in pages:
        for id, text in page:
            key = key_of(resource_type, id)
            if key != current:
                if key < current:
                    raise Unsorted(type=resource_type, before=current, after=key)
                if current:
                    yield TenantSum(current, total)
                current, total = key, 0
            total += sign * hash(text)
    if current:
        yield TenantSum(current, total)


async def _unbalanced(sides: list[AsyncIterator[TenantSum]]) -> AsyncIterator[str]:
    """Yield the keys whose sums over all sides are not zero. Each side is ordered by key."""
    fronts = {side: front for side in sides if (front := await anext(side, None))}
    while fronts:
        key = min(front.key for front in fronts.values())
        sides_with_key = [side for side, front in fronts.items() if front.key == key]
        if sum(fronts[side].sum for side in sides_with_key) != 0:
            yield key
        for side in sides_with_key:
            if following := await anext(side, None):
                fronts[side] = following
            else:
                del fronts[side]
