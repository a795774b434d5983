"""Organizations, and the caller's permissions in them."""

from typing import Any

from litestar import delete, get, patch, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.api.identity.authentication import SignInRequired
from teamaccess.api.identity.callers import Operator
from teamaccess.api.requests.audit_access import audits_every_organization
from teamaccess.api.requests.edge import changes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import AnyRequest, PathId, ServiceDependency, SignedInUser
from teamaccess.changes import Change, OrganizationChange
from teamaccess.common.errors import Forbidden
from teamaccess.directory.organizations import create
from teamaccess.directory.organizations.find import get_organization, list_organizations
from teamaccess.storage import OrganizationId, User
from teamaccess.views.directory.organizations import (
    NewOrganization,
    OrganizationPatch,
    OrganizationView,
    PermissionsView,
)


class NotForEverybody(Forbidden):
    """A user who is neither operator nor auditor of all organizations sent `all`."""

    message = (
        "Only operators and auditors of all organizations can list all of them. Leave `all` out"
        " to list yours."
    )


def refuse_anonymous(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raise SignInRequired before a change is opened for an anonymous caller."""
    if connection.user is None:
        raise SignInRequired


@post("/v1/organizations", guards=[refuse_anonymous], operation_id="create_organization")
@changes
async def create_organization(
    request: AnyRequest, change: Change, data: JSONBody[NewOrganization]
) -> OrganizationView:
    """Create an organization. If the catalog allows it, the caller becomes its administrator."""
    founder = request.user if isinstance(request.user, User) else None
    if founder is not None:
        founder = await change.session.get_one(User, founder.id)
    return OrganizationView.of(
        await create.create_organization(change, data.id, data.name, founder)
    )


@get("/v1/organizations", operation_id="list_organizations")
async def show_organizations(
    request: AnyRequest,
    service: ServiceDependency,
    all: FromQuery[bool] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[OrganizationView]:
    """List the organizations in which the caller is an active member.

    An operator sees all organizations. With `all`, so does an auditor of all organizations.
    """
    own: list[OrganizationId] | None = None
    match request.user:
        case User() if all:
            if not await audits_every_organization(request, service):
                raise NotForEverybody
        case User(id=user):
            own = await service.reading.organizations(user)
        case Operator():
            pass
        case _:
            raise SignInRequired
    async with service.reads() as session:
        rows = await list_organizations(session, own, decode(cursor), limit + 1)
    return page(rows, limit, lambda row: (row.created_at, row.id), OrganizationView.of)


@get("/v1/organizations/{organization:str}", operation_id="get_organization")
async def show_organization(
    organization: PathId, actor: SignedInUser, service: ServiceDependency
) -> OrganizationView:
    """Return an organization."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_organization")
    async with service.reads() as session:
        return OrganizationView.of(await get_organization(session, id))


@patch("/v1/organizations/{organization:str}", operation_id="rename_organization")
@changes
async def rename_organization(
    change: OrganizationChange, data: JSONBody[OrganizationPatch]
) -> OrganizationView:
    """Change an organization's display name."""
    return OrganizationView.of(await create.rename_organization(change, data.name))


@delete(
    "/v1/organizations/{organization:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="delete_organization",
)
@changes
async def delete_organization(change: OrganizationChange) -> None:
    """Delete an organization for all its members. Its id is never used again."""
    await create.delete_organization(change)


@get("/v1/organizations/{organization:str}/permissions", operation_id="list_own_permissions")
async def show_permissions(
    organization: PathId, actor: SignedInUser, service: ServiceDependency
) -> PermissionsView:
    """List the actions that the caller may do in an organization, and the roles that they may give."""
    id = OrganizationId(organization)
    held = await service.reading.held(id, actor.id)
    return PermissionsView.of(id, actor.id, held, service.catalog)


routes = [
    create_organization,
    show_organizations,
    show_organization,
    rename_organization,
    delete_organization,
    show_permissions,
]
