"""One pass over everything: which tenants may have drifted.

Both sides are summed up by tenant and the sums compared, so that memory is used for one page of each,
however large the largest organization is and however many there are. A sum adds up 64-bit hashes, which
Python seeds anew in each process: nobody can prepare relationships that cancel each other.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Unavailable
from teamaccess.engine import Engine, ObjectFilter, StoredRelationship
from teamaccess.ledger import Sessions, database_time
from teamaccess.ledger.entry import APPLIED
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.relationships import Relationship
from teamaccess.storage import RelationshipSource
from teamaccess.upkeep.reconciliation.rows import meant, newest_markers
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, Tenant, key_of

Seen = Callable[[int], None]
"""Is told how many relationships have been looked at since it was last told."""


class Unsorted(Unavailable):
    """SpiceDB's database does not sort bytewise, so its relationships cannot be compared in one pass."""

    message = (
        "The permission engine does not list {type} in bytewise order ({before} came before "
        "{after}). Give its database the collation C."
    )


class Sum(NamedTuple):
    """What one side has of a tenant."""

    key: str
    sum: int


async def suspicious(
    sessions: Sessions, engine: Engine, catalog: Catalog, seen: Seen
) -> AsyncIterator[Tenant]:
    """Yield the tenants of which rows and SpiceDB seem to differ, while both go on changing."""
    for resource_type in catalog.resource_types:
        async with sessions() as session:
            await session.execute(ALLOW_LONG_TRANSACTION)
            now = await database_time(session)
            sides = [
                *(
                    _summed(resource_type, _texts(pages, now))
                    for pages in _meant(session, resource_type)
                ),
                _summed(resource_type, _held(engine, resource_type, seen), sign=-1),
            ]
            async for key in _unbalanced(sides):
                yield Tenant(resource_type, key)


def _meant(session: AsyncSession, resource_type: str) -> list[AsyncIterator[list[Relationship]]]:
    sources = RelationshipSource.tables().values()
    pages = [meant(session, each, resource_type=resource_type) for each in sources]
    # Markers do not count as relationships, but a SpiceDB without the newest one was replaced.
    return [*pages, newest_markers(session)] if resource_type == ORGANIZATION else pages


async def _texts(
    pages: AsyncIterator[list[Relationship]], now: datetime
) -> AsyncIterator[Iterable[tuple[str, str]]]:
    async for page in pages:
        yield [(each.resource.id, str(each)) for each in page if not each.expired(now)]


async def _held(
    engine: Engine, resource_type: str, seen: Seen
) -> AsyncIterator[Iterable[tuple[str, str]]]:
    async with aclosing(engine.export(ObjectFilter(resource_type))) as pages:
        async for page in pages:
            seen(len(page))
            yield [(each.resource_id, each.text) for each in page if not _is_old_marker(each)]


def _is_old_marker(held: StoredRelationship) -> bool:
    return held.relation == APPLIED


async def _summed(
    resource_type: str, pages: AsyncIterator[Iterable[tuple[str, str]]], sign: int = 1
) -> AsyncIterator[Sum]:
    """Yield one sum for each tenant; raises Unsorted for what is not in the order of tenants."""
    at, total = "", 0
    async for page in pages:
        for id, text in page:
            key = key_of(resource_type, id)
            if key != at:
                if key < at:
                    raise Unsorted(type=resource_type, before=at, after=key)
                if at:
                    yield Sum(at, total)
                at, total = key, 0
            total += sign * hash(text)
    if at:
        yield Sum(at, total)


async def _unbalanced(sides: list[AsyncIterator[Sum]]) -> AsyncIterator[str]:
    """Yield the keys whose sums over all sides are not zero; each side is in the order of keys."""
    fronts = {side: front for side in sides if (front := await anext(side, None))}
    while fronts:
        key = min(front.key for front in fronts.values())
        mine = [side for side, front in fronts.items() if front.key == key]
        if sum(fronts[side].sum for side in mine) != 0:
            yield key
        for side in mine:
            if following := await anext(side, None):
                fronts[side] = following
            else:
                del fronts[side]
