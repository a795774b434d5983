"""Objects that services register, and the grants on them."""

from collections.abc import Sequence
from datetime import datetime

from litestar import Response, delete, get, post, put
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.api.requests.edge import IfMatch, changes, etag, refuse_changed, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import (
    AnyRequest,
    PastMoment,
    PathId,
    ServiceDependency,
    SignedInUser,
)
from teamaccess.api.requests.past_lists import read_past
from teamaccess.api.requests.receiving import LARGEST_BATCH
from teamaccess.audit.lists.past_directory import PastDirectory
from teamaccess.audit.lists.teams import grants_at
from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.changes.time_limit import time_limit
from teamaccess.common.errors import PreconditionFailed
from teamaccess.directory.resources import many_grants, register
from teamaccess.directory.resources.find import get_resource, list_resources, type_of
from teamaccess.directory.resources.grant_rows import (
    GrantEnds,
    GrantKey,
    grant_key_of,
    grants_on,
)
from teamaccess.directory.resources.grants import (
    GrantTwice,
    replace_grants,
)
from teamaccess.directory.resources.many_grants import GrantOperation
from teamaccess.directory.users.find import resolve_member, resolve_members
from teamaccess.storage import Grant, HolderKind, OrganizationId, ResourceId, UserId
from teamaccess.views.directory.resources import (
    GrantBatch,
    GrantInput,
    GrantResultsView,
    GrantResultView,
    GrantsInput,
    GrantsView,
    GrantView,
    NewResource,
    ResourceBatch,
    ResourceResultsView,
    ResourceResultView,
    ResourceView,
)

RESOURCES = "/v1/organizations/{organization:str}/resources"
RESOURCE = f"{RESOURCES}/{{type:str}}/{{resource:str}}"


@put(RESOURCE, operation_id="register_resource")
@changes
async def register_resource(
    type: PathId,
    resource: PathId,
    change: OrganizationChange,
    data: JSONBody[NewResource | None] = None,
) -> ResourceView:
    """Register an object. Registering it again with the same values changes nothing."""
    creator = await _creator(change, data)
    return ResourceView.of(await register.register(change, type, ResourceId(resource), creator))


@get(RESOURCE, operation_id="get_resource")
async def show_resource(
    organization: PathId,
    type: PathId,
    resource: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
) -> ResourceView:
    """Return an object."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    async with service.reads() as session:
        key = type, ResourceId(resource)
        return ResourceView.of(await get_resource(session, service.catalog, id, key))


@delete(RESOURCE, status_code=HTTP_204_NO_CONTENT, operation_id="remove_resource")
@revokes
async def remove_resource(type: PathId, resource: PathId, change: OrganizationChange) -> None:
    """Remove an object with all grants on it. Its id can never be registered again."""
    await register.remove_resource(change, type, ResourceId(resource))


@get(f"{RESOURCES}/{{type:str}}", operation_id="list_resources")
async def show_resources(
    organization: PathId,
    type: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ResourceView]:
    """List the objects of a type, in the order of their registration."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    kind, after = type_of(service.catalog, type), decode(cursor)
    async with service.reads() as session:
        rows = await list_resources(session, id, kind.id, after, limit + 1)
    return page(rows, limit, lambda row: (row.registered_at, row.id), ResourceView.of)


@post(
    "/v1/organizations/{organization:str}/resources:batch",
    status_code=HTTP_200_OK,
    request_max_body_size=LARGEST_BATCH,
    operation_id="change_resources",
)
@changes
async def change_resources(
    change: OrganizationChange, data: JSONBody[ResourceBatch]
) -> ResourceResultsView:
    """Register and remove up to a thousand objects in one change, all or none."""
    async with time_limit(change):
        named = [item.creator for item in data.items if item.creator is not None]
        members = await resolve_members(change.session, change.organization, named)
        operations = [
            item.resource_operation(members[item.creator] if item.creator is not None else None)
            for item in data.items
        ]
        results = await register.apply(change, operations)
    return ResourceResultsView(
        [
            ResourceResultView(operation.type, operation.id, result)
            for operation, result in zip(operations, results, strict=True)
        ]
    )


GRANTS = f"{RESOURCE}/grants"


class GrantsChangedMeanwhile(PreconditionFailed):
    """The `If-Match` of the request is not the current ETag of the resource's grants."""

    message = "The grants on {resource} have changed since you read them. Read them again."


@get(GRANTS, operation_id="list_grants")
async def show_grants(
    request: AnyRequest,
    organization: PathId,
    type: PathId,
    resource: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
) -> Response[GrantsView]:
    """List the grants on an object. The ETag identifies them. With `at`, the list is as it was."""
    if past_moment is not None:

        async def read(session: AsyncSession, past: PastDirectory) -> list[Grant]:
            return grants_at(past, (type, ResourceId(resource)))

        then = await read_past(request, service, organization, past_moment, read)
        return Response(GrantsView([GrantView.of(each, service.catalog) for each in then]))
    id, key = OrganizationId(organization), (type, ResourceId(resource))
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        await get_resource(session, service.catalog, id, key)
        found = await grants_on(session, id, key)
    ends = {grant_key_of(grant): grant.expires_at for grant in found}
    return Response(view(found, service.catalog, now), headers={"ETag": etag_of_grants(ends)})


@put(GRANTS, operation_id="replace_grants")
@changes
async def change_grants(
    type: PathId,
    resource: PathId,
    change: OrganizationChange,
    data: JSONBody[GrantsInput],
    if_match: IfMatch = None,
) -> GrantsView:
    """Replace the grants on an object. Grants that stay remain in force throughout."""
    key = (type, ResourceId(resource))
    wanted = await expiry_by_grant(change, data.grants)
    names = [each.name for each in data.grants]
    grants, before = await replace_grants(change, key, wanted, names)
    name = f"{type}:{resource}"
    refuse_changed(if_match, etag_of_grants(before), GrantsChangedMeanwhile, resource=name)
    return view(grants, change.catalog, change.now)


async def expiry_by_grant(
    change: OrganizationChange, grants: Sequence[GrantInput]
) -> dict[GrantKey, datetime | None]:
    """Return each grant's expiry. Raises GrantTwice."""
    wanted: dict[GrantKey, datetime | None] = {}
    for each in grants:
        key = await grant_key(change, each)
        if key in wanted:
            raise GrantTwice(grant=key)
        wanted[key] = each.expires_at
    return wanted


async def grant_key(change: OrganizationChange, grant: GrantInput) -> GrantKey:
    """Return the action or role, and the holder of a grant."""
    if grant.user is UNSET:
        return GrantKey(grant.name.text, HolderKind.TEAM, str(grant.team))
    member = await resolve_member(change.session, change.organization, grant.user)
    return GrantKey(grant.name.text, HolderKind.USER, member)


async def _creator(change: OrganizationChange, data: NewResource | None) -> UserId | None:
    """Return the id of the creator that the request names, if any."""
    if data is None or data.creator is None:
        return None
    return await resolve_member(change.session, change.organization, data.creator)


@post(
    "/v1/organizations/{organization:str}/grants:batch",
    status_code=HTTP_200_OK,
    request_max_body_size=LARGEST_BATCH,
    operation_id="change_grants",
)
@changes
async def change_many_grants(
    change: OrganizationChange, data: JSONBody[GrantBatch]
) -> GrantResultsView:
    """Add and remove up to 500 grants on any objects in one change, all or none."""
    async with time_limit(change):
        members = await resolve_members(
            change.session,
            change.organization,
            [each.user for each in data.items if each.user is not UNSET],
        )
        operations = [
            GrantOperation(
                (each.type, ResourceId(each.id)),
                GrantKey(each.name.text, HolderKind.TEAM, str(each.team))
                if each.user is UNSET
                else GrantKey(each.name.text, HolderKind.USER, members[each.user]),
                each.expires_at,
                remove=each.operation == "remove",
                is_role=each.name.is_role,
            )
            for each in data.items
        ]
        results = await many_grants.change_grants(change, operations)
    return GrantResultsView(list(map(GrantResultView.of, operations, results)))


def view(grants: Sequence[Grant], catalog: Catalog, now: datetime) -> GrantsView:
    """Return the view of the grants that are in force at `now`."""
    return GrantsView([GrantView.of(each, catalog) for each in grants if each.active(now)])


def etag_of_grants(grants: GrantEnds) -> str:
    """Return the ETag of the grants on an object, with their ends."""
    return etag([f"{grant} {end}" for grant, end in grants.items()])


routes = [
    register_resource,
    show_resource,
    remove_resource,
    show_resources,
    change_resources,
    show_grants,
    change_grants,
    change_many_grants,
]
