"""Find the objects of an organization."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Text, any_, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog, ResourceType
from teamaccess.common.errors import NotFound
from teamaccess.storage import OrganizationId, Resource, ResourceId, is_local_id

ResourceKey = tuple[str, ResourceId]
"""The type and the id of an object, which identify it inside an organization."""

NAMED = select(Resource).where(
    Resource.organization_id == bindparam("organization"),
    Resource.type == any_(bindparam("types", type_=ARRAY(Text))),
    Resource.id == any_(bindparam("ids", type_=ARRAY(Text))),
)


class UnknownResource(NotFound):
    """The organization has no such resource, or it was removed."""

    message = "{organization} has no {type} {resource!r}."


class UnknownResourceType(NotFound):
    """The catalog has no such resource type."""

    message = "There is no resource type {type!r}. The types are: {types}."


def type_of(catalog: Catalog, type: str) -> ResourceType:
    """Return a type of the catalog; raises UnknownResourceType."""
    if type not in catalog.types:
        raise UnknownResourceType(type=type, types=list(catalog.types))
    return catalog.types[type]


async def find_resources(
    session: AsyncSession, organization: OrganizationId, keys: Iterable[ResourceKey]
) -> Mapping[ResourceKey, Resource]:
    """Return the objects among the keys that are or were registered."""
    types, ids = {type for type, _ in keys}, {id for _, id in keys}
    parameters = {"organization": organization, "types": list(types), "ids": list(ids)}
    # an earlier part of the change may have removed some
    fresh = {"populate_existing": True}
    rows = await session.scalars(NAMED, parameters, execution_options=fresh)
    return {(row.type, row.id): row for row in rows}


async def get_resource(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId, key: ResourceKey
) -> Resource:
    """Return a registered object; raises UnknownResourceType and UnknownResource."""
    type_of(catalog, key[0])
    resource: Resource | None = None
    if is_local_id(key[1]):
        identity = (organization, *key)
        resource = await session.get(Resource, identity, populate_existing=True)
    if resource is None or resource.removed_at is not None:
        raise UnknownResource(organization=organization, type=key[0], resource=key[1])
    return resource


async def list_resources(
    session: AsyncSession,
    organization: OrganizationId,
    type: str,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Resource]:
    """Return at most `limit` registered objects of a type, the oldest first."""
    rows = (
        select(Resource)
        .where(
            Resource.organization_id == organization,
            Resource.type == type,
            Resource.removed_at.is_(None),
        )
        .order_by(Resource.registered_at, Resource.id)
        .limit(limit)
    )
    if after is not None:
        rows = rows.where(tuple_(Resource.registered_at, Resource.id) > after)
    return (await session.scalars(rows)).all()
