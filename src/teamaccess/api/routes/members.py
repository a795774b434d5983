"""Members: who they are, what they hold, and what administrators do to that."""

from datetime import datetime
from typing import Annotated

from litestar import Response, delete, get, patch, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.access.giving import RoleTwice
from teamaccess.access.role_set import role_set_of
from teamaccess.api.requests.edge import changes, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import InPath, SignedIn, TheService
from teamaccess.api.requests.preconditions import IfMatch, etag, matches
from teamaccess.changes import Change
from teamaccess.common.errors import PreconditionFailed
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.members import act
from teamaccess.directory.members.find import find_member, get_member
from teamaccess.directory.members.held import roles_held
from teamaccess.directory.members.listing import MemberEntry, MemberFilter, list_members
from teamaccess.directory.teams.find import get_team
from teamaccess.storage import MembershipStatus, OrganizationId, RoleId, TeamId, UserId
from teamaccess.views.members import (
    MemberPatch,
    MemberView,
    RolesWanted,
    RoleWanted,
    WithReason,
)

InactiveDays = Annotated[int | None, QueryParameter(ge=1, le=36_500)]


class RolesChangedMeanwhile(PreconditionFailed):
    """The roles of {user} have changed since you read them. Read them again."""


@get("/v1/organizations/{organization:str}/members", operation_id="list_members")
async def show_members(
    organization: InPath,
    actor: SignedIn,
    service: TheService,
    role: Annotated[str | None, QueryParameter(max_length=64)] = None,
    status: FromQuery[MembershipStatus | None] = None,
    team: Annotated[str | None, QueryParameter(max_length=64)] = None,
    inactive_days: InactiveDays = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[MemberView]:
    """List members in the order they joined, with roles, status and last activity."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    wanted = MemberFilter(
        RoleId(role) if role is not None else None,
        TeamId(team) if team is not None else None,
        status,
        inactive_days,
    )
    after = decode(cursor)
    async with service.reads() as session:
        if role is not None:
            known = await role_set_of(session, service.catalog, id, [RoleId(role)])
            known.refuse_unknown([RoleId(role)])
        if team is not None:
            await get_team(session, id, TeamId(team))
        rows = await list_members(
            session, id, wanted, now, (after[0], UserId(after[1])) if after else None, limit + 1
        )
    return page(rows, limit, _key, MemberView.listed)


@get("/v1/organizations/{organization:str}/members/{user:str}", operation_id="get_member")
async def show_member(
    organization: InPath, user: InPath, actor: SignedIn, service: TheService
) -> Response[MemberView]:
    """Return a member; the ETag names the roles."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        member = await get_member(session, id, UserId(user))
        held = await roles_held(session, id, [member.user_id], now)
    view = MemberView.of(member, held.get(member.user_id, ()))
    return Response(view, headers={"ETag": etag(member.assignments)})


@put(
    "/v1/organizations/{organization:str}/members/{user:str}/roles",
    operation_id="replace_member_roles",
)
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
    known = etag(before.assignments) if before else ""
    roles = once_each(data.roles)
    member = await act.change_roles(change, actor.id, id, whom, roles, _why(data))
    if not matches(if_match, known):
        raise RolesChangedMeanwhile(user=user)
    held = await roles_held(change.session, id, [whom], change.now)
    return MemberView.of(member, held.get(whom, ()))


@patch(
    "/v1/organizations/{organization:str}/members/{user:str}", operation_id="change_membership_end"
)
@changes
async def change_membership(
    organization: InPath,
    user: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[MemberPatch],
) -> MemberView:
    """Let a membership end at a time, or without an end."""
    id, whom = OrganizationId(organization), UserId(user)
    member = await act.change_end(change, actor.id, id, whom, data.expires_at, _why(data))
    held = await roles_held(change.session, id, [whom], change.now)
    return MemberView.of(member, held.get(whom, ()))


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/suspend",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="suspend_member",
)
@revokes
async def suspend_member(
    organization: InPath,
    user: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[WithReason | None] = None,
) -> None:
    """Take away everything a member can do, keeping the roles for their return."""
    await act.suspend(change, actor.id, OrganizationId(organization), UserId(user), _why(data))


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/reactivate",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="reactivate_member",
)
@changes
async def reactivate_member(
    organization: InPath,
    user: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[WithReason | None] = None,
) -> None:
    """Give a suspended member everything back."""
    await act.reactivate(change, actor.id, OrganizationId(organization), UserId(user), _why(data))


@delete(
    "/v1/organizations/{organization:str}/members/{user:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="remove_member",
)
@revokes
async def remove_member(
    organization: InPath,
    user: InPath,
    change: Change,
    actor: SignedIn,
    data: JSONBody[WithReason | None] = None,
) -> None:
    """End a membership, everything that hangs on it, and the sessions of the removed."""
    await act.remove(change, actor.id, OrganizationId(organization), UserId(user), _why(data))


@post(
    "/v1/organizations/{organization:str}/leave",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="leave_organization",
)
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


def _why(wanted: RolesWanted | MemberPatch | WithReason | None) -> str | None:
    if wanted is None or wanted.reason is None:
        return None
    return clean("reason", wanted.reason, LONGEST_REASON)


def _key(member: MemberEntry) -> tuple[datetime, str]:
    return member.joined_at, member.user_id


routes = [
    show_members,
    show_member,
    change_member_roles,
    change_membership,
    suspend_member,
    reactivate_member,
    remove_member,
    leave,
]
