"""Objects that services register one by one, so that access to a single one can be asked and granted."""

from litestar import delete, get, post, put
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from teamaccess.api.edge import changes, revokes
from teamaccess.api.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.parameters import InPath, SignedIn, TheService
from teamaccess.api.receiving import LARGEST_BATCH
from teamaccess.api.views.resources import (
    BatchView,
    NewResource,
    OrderView,
    ResourceBatch,
    ResourceView,
)
from teamaccess.ledger import Change
from teamaccess.models import OrganizationId, ResourceId, UserId
from teamaccess.resources import register
from teamaccess.resources.find import get_resource, list_resources, type_of

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


routes = [register_resource, show_resource, remove_resource, show_resources, change_resources]
