"""Roles: the catalog's predefined roles, and an organization's custom roles."""

from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT
from msgspec import UNSET

from teamaccess.api.requests.edge import IfMatch, changes, etag, refuse_changed, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import (
    AnyRequest,
    PastMoment,
    PathId,
    ServiceDependency,
    SignedInUser,
)
from teamaccess.api.requests.past_lists import past_page, read_past
from teamaccess.audit.lists.teams import roles_at
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Invalid, PreconditionFailed
from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON, clean
from teamaccess.directory.roles import remove
from teamaccess.directory.roles.find import RoleEntry, get_role, list_roles
from teamaccess.directory.roles.holders import Holders
from teamaccess.directory.roles.make import Description, RoleState, clone, create_role, replace
from teamaccess.storage import CustomRole, OrganizationId, RoleId
from teamaccess.views.directory.roles import NewRole, RoleReplacement, RoleView, parts_of

ReassignTo = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=64,
        description="The role that its holders get instead, or `none` to give them no other role.",
    ),
]


class RoleChangedMeanwhile(PreconditionFailed):
    """The `If-Match` of the request is not the current ETag of the role."""

    message = "The role {role} has changed since you read it. Read it again."


class RoleIdStays(Invalid):
    """A request changes the id of a role. Relationships and the ledger name roles by id."""

    message = "The id of the role {role} can't change. Create another role instead."


@get("/v1/organizations/{organization:str}/roles", operation_id="list_roles")
async def show_roles(
    request: AnyRequest,
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[RoleView]:
    """List the roles with the number of their holders, predefined roles first.

    With `at`, the list is as it was, without the numbers of invitations and access requests.
    """
    if past_moment is not None:
        then = await read_past(request, service, organization, past_moment, roles_at)
        return past_page(
            then,
            cursor,
            limit,
            lambda each: each.key,
            lambda each: RoleView.of(each, service.catalog),
        )
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now, after = await service.now(), decode(cursor)
    async with service.reads() as session:
        found = await list_roles(
            session,
            service.catalog,
            id,
            (after[0], RoleId(after[1])) if after else None,
            limit + 1,
            now,
        )
    return page(
        found, limit, lambda each: each.key, lambda each: RoleView.of(each, service.catalog)
    )


@get("/v1/organizations/{organization:str}/roles/{role:str}", operation_id="get_role")
async def show_role(
    organization: PathId, role: PathId, actor: SignedInUser, service: ServiceDependency
) -> Response[RoleView]:
    """Return a role, and the actions that its selectors would add today.

    The ETag identifies everything that PUT replaces.
    """
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        found = await get_role(session, service.catalog, id, RoleId(role), now)
    headers = (
        {"ETag": etag_of_role(RoleState.of(found.role))}
        if isinstance(found.role, CustomRole)
        else None
    )
    return Response(RoleView.of(found, service.catalog), headers=headers)


@post("/v1/organizations/{organization:str}/roles", operation_id="create_role")
@changes
async def make_role(change: OrganizationChange, data: JSONBody[NewRole]) -> RoleView:
    """Create a custom role from actions that the caller has, or clone a role."""
    about = description_of(data)
    if data.clone_of is UNSET:
        assert data.actions is not UNSET  # noqa: S101 - the body is refused without either
        role = await create_role(change, data.id, about, parts_of(data.actions))
        return RoleView.of(RoleEntry(role, Holders()), change.catalog)
    role, left_out = await clone(change, data.id, about, RoleId(data.clone_of))
    view = RoleView.of(RoleEntry(role, Holders()), change.catalog)
    view.left_out = sorted(left_out)
    return view


@put("/v1/organizations/{organization:str}/roles/{role:str}", operation_id="replace_role")
@changes
async def replace_role(
    role: PathId,
    change: OrganizationChange,
    data: JSONBody[RoleReplacement],
    if_match: IfMatch = None,
) -> RoleView:
    """Replace a custom role. The change takes effect for all its holders at once."""
    id = RoleId(role)
    _, before = await replace(change, id, description_of(data), parts_of(data.actions))
    if data.id not in (UNSET, id):
        raise RoleIdStays(role=id)
    refuse_changed(if_match, etag_of_role(before), RoleChangedMeanwhile, role=role)
    found = await get_role(change.session, change.catalog, change.organization, id, change.now)
    return RoleView.of(found, change.catalog)


@delete(
    "/v1/organizations/{organization:str}/roles/{role:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="delete_role",
)
@revokes
async def delete_role(
    role: PathId, change: OrganizationChange, reassign: ReassignTo = None
) -> None:
    """Delete a custom role. If members hold it, `reassign` must name their new role, or `none`."""
    await remove.delete_role(change, RoleId(role), reassign)


def description_of(data: NewRole | RoleReplacement) -> Description:
    """Return the role's cleaned name and description. Raises InvalidText."""
    text = data.description
    return Description(
        clean("name", data.name, LONGEST_NAME),
        clean("description", text, LONGEST_REASON) if text is not None else None,
    )


def etag_of_role(role: RoleState) -> str:
    """Return the ETag of everything about a role that PUT replaces."""
    return etag((role.name, role.description, sorted(role.actions), role.selectors))


routes = [show_roles, show_role, make_role, replace_role, delete_role]
