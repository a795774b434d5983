"""Roles: the catalog's, and those that an organization makes itself."""

import hashlib
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT
from msgspec import UNSET

from teamaccess.api.requests.edge import changes, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import InPath, SignedIn, TheService
from teamaccess.changes import Change
from teamaccess.common.errors import Invalid, PreconditionFailed
from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON, clean
from teamaccess.directory.roles.find import Found, find_own, get_role, list_roles
from teamaccess.directory.roles.holders import Holders
from teamaccess.directory.roles.make import Description, clone, make, replace
from teamaccess.directory.roles.remove import remove
from teamaccess.storage import CustomRole, OrganizationId, RoleId
from teamaccess.views.roles import NewRole, RoleReplaced, RoleView, parts_of

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]
Instead = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=64, description="The role that holders get instead, or `none`."
    ),
]


class RoleChangedMeanwhile(PreconditionFailed):
    """The role {role} has changed since you read it. Read it again."""


class RoleIdStays(Invalid):
    """The id of {role} cannot be changed; make another role for that."""


@get("/v1/organizations/{organization:str}/roles", operation_id="list_roles")
async def show_roles(
    organization: InPath,
    actor: SignedIn,
    service: TheService,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[RoleView]:
    """List the roles, the predefined ones first, with how many hold each."""
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
    organization: InPath, role: InPath, actor: SignedIn, service: TheService
) -> Response[RoleView]:
    """Return a role, and what its selectors would add by now; the ETag names what PUT replaces."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        found = await get_role(session, service.catalog, id, RoleId(role), now)
    headers = {"ETag": etag(found.role)} if isinstance(found.role, CustomRole) else None
    return Response(RoleView.of(found, service.catalog), headers=headers)


@post("/v1/organizations/{organization:str}/roles", operation_id="create_role")
@changes
async def make_role(
    organization: InPath, change: Change, actor: SignedIn, data: JSONBody[NewRole]
) -> RoleView:
    """Make a role of actions that the caller holds, or clone one."""
    here, about = OrganizationId(organization), described(data)
    if data.clone_of is UNSET:
        assert data.actions is not UNSET  # noqa: S101 - the body is refused without either
        made = await make(change, actor.id, here, data.id, about, parts_of(data.actions))
        return RoleView.of(Found(made, Holders()), change.catalog)
    original = RoleId(data.clone_of)
    made, left_out = await clone(change, actor.id, here, data.id, about, original)
    view = RoleView.of(Found(made, Holders()), change.catalog)
    view.left_out = sorted(left_out)
    return view


@put("/v1/organizations/{organization:str}/roles/{role:str}", operation_id="replace_role")
@changes
async def replace_role(
    organization: InPath,
    role: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[RoleReplaced],
    if_match: IfMatch = None,
) -> RoleView:
    """Have a role be just this, for all who hold it at once."""
    here, id = OrganizationId(organization), RoleId(role)
    before = await find_own(change.session, here, id)
    known = etag(before) if before else None
    await replace(change, actor.id, here, id, described(data), parts_of(data.actions))
    if data.id not in (UNSET, id):
        raise RoleIdStays(role=id)
    if if_match is not None and not {"*", known} & {tag.strip() for tag in if_match.split(",")}:
        raise RoleChangedMeanwhile(role=role)
    found = await get_role(change.session, change.catalog, here, id, change.now)
    return RoleView.of(found, change.catalog)


@delete(
    "/v1/organizations/{organization:str}/roles/{role:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="delete_role",
)
@revokes
async def delete_role(
    organization: InPath,
    role: InPath,
    change: Change,
    actor: SignedIn,
    reassign: Instead = None,
) -> None:
    """Delete a role; one in use only if it is said what its holders get instead."""
    await remove(change, actor.id, OrganizationId(organization), RoleId(role), reassign)


def described(data: NewRole | RoleReplaced) -> Description:
    """Return what people are told of the role; raises InvalidText."""
    text = data.description
    return Description(
        clean("name", data.name, LONGEST_NAME),
        clean("description", text, LONGEST_REASON) if text is not None else None,
    )


def etag(role: CustomRole) -> str:
    """Return the ETag of all that is replaced of a role."""
    said = (role.name, role.description, sorted(role.actions), role.selectors)
    return f'"{hashlib.sha256(repr(said).encode()).hexdigest()[:16]}"'


routes = [show_roles, show_role, make_role, replace_role, delete_role]
