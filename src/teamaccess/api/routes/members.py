"""Members: who they are, what they hold, and what administrators do to that."""

import hashlib
from datetime import datetime
from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.api.edge import changes, revokes
from teamaccess.api.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.parameters import InPath, SignedIn, TheService
from teamaccess.api.views import MemberView, RolesWanted, RoleWanted
from teamaccess.errors import PreconditionFailed
from teamaccess.ledger import Change
from teamaccess.members import act
from teamaccess.members.find import find_member, get_member
from teamaccess.members.listing import Listed, MemberFilter, list_members
from teamaccess.members.rules import RoleTwice, refuse_unknown
from teamaccess.models import Membership, MembershipStatus, OrganizationId, RoleId, UserId
from teamaccess.text import LONGEST_REASON, clean

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]
InactiveDays = Annotated[int | None, QueryParameter(ge=1, le=36_500)]


class RolesChangedMeanwhile(PreconditionFailed):
    """The roles of {user} have changed since you read them. Read them again."""


@get("/v1/organizations/{organization:str}/members")
async def show_members(
    organization: InPath,
    actor: SignedIn,
    service: TheService,
    role: Annotated[str | None, QueryParameter(max_length=64)] = None,
    status: FromQuery[MembershipStatus | None] = None,
    inactive_days: InactiveDays = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[MemberView]:
    """List members in the order they joined, with roles, status and last activity."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    refuse_unknown(service.catalog, [RoleId(role)] if role is not None else [])
    wanted = MemberFilter(RoleId(role) if role is not None else None, status, inactive_days)
    after = decode(cursor)
    async with service.reads() as session:
        rows = await list_members(
            session, id, wanted, now, (after[0], UserId(after[1])) if after else None, limit + 1
        )
    return page(rows, limit, _key, MemberView.listed)


@get("/v1/organizations/{organization:str}/members/{user:str}")
async def show_member(
    organization: InPath, user: InPath, actor: SignedIn, service: TheService
) -> Response[MemberView]:
    """Return a member; the ETag names the roles."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    async with service.reads() as session:
        member = await get_member(session, id, UserId(user))
    view = MemberView.of(member, await service.now())
    return Response(view, headers={"ETag": etag(member)})


@put("/v1/organizations/{organization:str}/members/{user:str}/roles")
@changes
async def change_member_roles(
    organization: InPath,
    user: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[RolesWanted],
    if_match: IfMatch = None,
) -> MemberView:
    """Give a member exactly these roles; what they keep is in force throughout."""
    id, whom = OrganizationId(organization), UserId(user)
    before = await find_member(change.session, id, whom)
    known = etag(before) if before else None
    reason = clean("reason", data.reason, LONGEST_REASON) if data.reason is not None else None
    member = await act.change_roles(change, actor.id, id, whom, once_each(data.roles), reason)
    if if_match is not None and not {"*", known} & {tag.strip() for tag in if_match.split(",")}:
        raise RolesChangedMeanwhile(user=user)
    return MemberView.of(member, change.now)


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/suspend",
    status_code=HTTP_204_NO_CONTENT,
)
@revokes
async def suspend_member(
    organization: InPath, user: InPath, change: Change, actor: SignedIn
) -> None:
    """Take away everything a member can do, keeping the roles for their return."""
    await act.suspend(change, actor.id, OrganizationId(organization), UserId(user))


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/reactivate",
    status_code=HTTP_204_NO_CONTENT,
)
@changes
async def reactivate_member(
    organization: InPath, user: InPath, change: Change, actor: SignedIn
) -> None:
    """Give a suspended member everything back."""
    await act.reactivate(change, actor.id, OrganizationId(organization), UserId(user))


@delete("/v1/organizations/{organization:str}/members/{user:str}", status_code=HTTP_204_NO_CONTENT)
@revokes
async def remove_member(
    organization: InPath, user: InPath, change: Change, actor: SignedIn
) -> None:
    """End a membership, everything that hangs on it, and the sessions of the removed."""
    await act.remove(change, actor.id, OrganizationId(organization), UserId(user))


@post("/v1/organizations/{organization:str}/leave", status_code=HTTP_204_NO_CONTENT)
@revokes
async def leave(organization: InPath, change: Change, actor: SignedIn) -> None:
    """End one's own membership."""
    await act.leave(change, OrganizationId(organization), actor.id)


def once_each(roles: list[RoleWanted]) -> dict[RoleId, datetime | None]:
    """Return the roles with their ends; raises RoleTwice."""
    wanted: dict[RoleId, datetime | None] = {}
    for each in roles:
        if each.role in wanted:
            raise RoleTwice(role=each.role)
        wanted[RoleId(each.role)] = each.expires_at
    return wanted


def etag(member: Membership) -> str:
    """Return the ETag of a member's roles and their ends."""
    held = sorted(f"{each.role} {each.expires_at}" for each in member.assignments)
    return f'"{hashlib.sha256(repr(held).encode()).hexdigest()[:16]}"'


def _key(member: Listed) -> tuple[datetime, str]:
    return member.joined_at, member.user_id


routes = [
    show_members,
    show_member,
    change_member_roles,
    suspend_member,
    reactivate_member,
    remove_member,
    leave,
]
