"""Objects that services register, and grants on them."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import HeaderParameter, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT
from msgspec import UNSET

from teamaccess.api.requests.edge import changes, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import InPath, SignedIn, TheService
from teamaccess.api.requests.receiving import LARGEST_BATCH
from teamaccess.changes import Change
from teamaccess.common.errors import Invalid, PreconditionFailed
from teamaccess.directory.resources import register
from teamaccess.directory.resources.find import get_resource, list_resources, type_of
from teamaccess.directory.resources.grants import GrantKey, grants_on, replace_grants, what
from teamaccess.storage import Grant, HolderKind, OrganizationId, ResourceId, UserId
from teamaccess.views.resources import (
    BatchView,
    GrantsView,
    GrantsWanted,
    GrantView,
    GrantWanted,
    NewResource,
    OrderView,
    ResourceBatch,
    ResourceView,
)

EVERYWHERE = "/v1/organizations/{organization:str}/resources"
ONE = f"{EVERYWHERE}/{{type:str}}/{{resource:str}}"


@put(ONE, operation_id="register_resource")
@changes
async def register_resource(
    organization: InPath,
    type: InPath,
    resource: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[NewResource | None] = None,
) -> ResourceView:
    """Register an object; one that is registered just so stays as it is."""
    creator = UserId(data.creator) if data is not None and data.creator is not None else None
    found = await register.register(
        change, actor.id, OrganizationId(organization), type, ResourceId(resource), creator
    )
    return ResourceView.of(found)


@get(ONE, operation_id="get_resource")
async def show_resource(
    organization: InPath, type: InPath, resource: InPath, actor: SignedIn, service: TheService
) -> ResourceView:
    """Return an object."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    async with service.reads() as session:
        key = type, ResourceId(resource)
        return ResourceView.of(await get_resource(session, service.catalog, id, key))


@delete(ONE, status_code=HTTP_204_NO_CONTENT, operation_id="remove_resource")
@revokes
async def remove_resource(
    organization: InPath, type: InPath, resource: InPath, change: Change, actor: SignedIn
) -> None:
    """Remove an object with all that was granted on it; its id is never registered again."""
    await register.remove(
        change, actor.id, OrganizationId(organization), type, ResourceId(resource)
    )


@get(f"{EVERYWHERE}/{{type:str}}", operation_id="list_resources")
async def show_resources(
    organization: InPath,
    type: InPath,
    actor: SignedIn,
    service: TheService,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ResourceView]:
    """List the objects of a type in the order in which they were registered."""
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
    organization: InPath, change: Change, actor: SignedIn, data: JSONBody[ResourceBatch]
) -> BatchView:
    """Register and remove up to a thousand objects in one change: all of them, or none."""
    orders = [each.order for each in data.items]
    outcomes = await register.order(change, actor.id, OrganizationId(organization), orders)
    told = zip(orders, outcomes, strict=True)
    return BatchView([OrderView(each.type, each.id, outcome) for each, outcome in told])


GRANTS = f"{ONE}/grants"

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]


class GrantTwice(Invalid):
    """{grant!r} is named twice; name each grant once."""


class GrantsChangedMeanwhile(PreconditionFailed):
    """What is granted on {resource} has changed since you read it. Read it again."""


@get(GRANTS, operation_id="list_grants")
async def show_grants(
    organization: InPath, type: InPath, resource: InPath, actor: SignedIn, service: TheService
) -> Response[GrantsView]:
    """Return all that is granted on an object; the ETag names it."""
    id, key = OrganizationId(organization), (type, ResourceId(resource))
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        await get_resource(session, service.catalog, id, key)
        found = await grants_on(session, id, key)
    return Response(view(found, now), headers={"ETag": etag(found)})


@put(GRANTS, operation_id="replace_grants")
@changes
async def change_grants(
    organization: InPath,
    type: InPath,
    resource: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[GrantsWanted],
    if_match: IfMatch = None,
) -> GrantsView:
    """Have exactly this granted on an object; what is kept is in force throughout."""
    id, key = OrganizationId(organization), (type, ResourceId(resource))
    known = etag(await grants_on(change.session, id, key)) if if_match is not None else None
    now = await replace_grants(change, actor.id, id, key, once_each(data.grants))
    if if_match is not None and not {"*", known} & {tag.strip() for tag in if_match.split(",")}:
        raise GrantsChangedMeanwhile(resource=f"{type}:{resource}")
    return view(now, change.now)


def once_each(grants: Sequence[GrantWanted]) -> dict[GrantKey, datetime | None]:
    """Return the grants with their ends; raises GrantTwice."""
    wanted: dict[GrantKey, datetime | None] = {}
    for each in grants:
        if each.user is not UNSET:
            one = GrantKey(each.action, HolderKind.USER, each.user)
        else:
            one = GrantKey(each.action, HolderKind.TEAM, str(each.team))
        if one in wanted:
            raise GrantTwice(grant=one)
        wanted[one] = each.expires_at
    return wanted


def view(grants: Sequence[Grant], now: datetime) -> GrantsView:
    """Return those that are in force."""
    return GrantsView([GrantView.of(each) for each in grants if each.active(now)])


def etag(grants: Sequence[Grant]) -> str:
    """Return the ETag of what is granted on an object, with the ends."""
    held = [f"{what(each)} {each.expires_at}" for each in grants]
    return f'"{hashlib.sha256(repr(held).encode()).hexdigest()[:16]}"'


routes = [
    register_resource,
    show_resource,
    remove_resource,
    show_resources,
    change_resources,
    show_grants,
    change_grants,
]
