"""Members: list them, change their roles, suspend, reactivate and remove them."""

from datetime import datetime
from typing import Annotated

from litestar import Response, delete, get, patch, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.access.authorize import RoleTwice, ends_of
from teamaccess.access.holdings import role_set_of
from teamaccess.api.requests.edge import IfMatch, changes, etag_of_roles, refuse_changed, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import (
    AnyRequest,
    PastMoment,
    PathId,
    ServiceDependency,
    SignedInUser,
)
from teamaccess.api.requests.past_lists import OnlyAtPresent, past_page, read_past
from teamaccess.audit.lists.people import PastMemberFilter
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import PreconditionFailed
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.members import act
from teamaccess.directory.members.find import get_member, roles_held
from teamaccess.directory.members.listing import MemberEntry, MemberFilter, list_members
from teamaccess.directory.teams.find import get_team
from teamaccess.directory.users.find import resolve_member
from teamaccess.storage import Membership, MembershipStatus, OrganizationId, RoleId, TeamId, UserId
from teamaccess.views.directory.members import (
    MemberPatch,
    MemberView,
    ReasonInput,
    RoleInput,
    RolesInput,
)

InactiveDays = Annotated[int | None, QueryParameter(ge=1, le=36_500)]


class RolesChangedMeanwhile(PreconditionFailed):
    """The `If-Match` of the request is not the current ETag of the member's roles."""

    message = "The roles of {user} have changed since you read them. Read them again."


@get("/v1/organizations/{organization:str}/members", operation_id="list_members")
async def show_members(
    request: AnyRequest,
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
    role: Annotated[str | None, QueryParameter(max_length=64)] = None,
    status: FromQuery[MembershipStatus | None] = None,
    team: Annotated[str | None, QueryParameter(max_length=128)] = None,
    inactive_days: InactiveDays = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[MemberView]:
    """List members in the order in which they joined, with roles, status and last activity.

    With `at`, the list is as it was. There is no history of the last activity.
    """
    if past_moment is not None:
        if inactive_days is not None:
            raise OnlyAtPresent(parameter="inactive_days")
        past_filter = PastMemberFilter(role, team, status)
        members = await read_past(request, service, organization, past_moment, past_filter.read)
        return past_page(members, cursor, limit, _key, MemberView.listed)
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    criteria = MemberFilter(
        RoleId(role) if role is not None else None,
        TeamId(team) if team is not None else None,
        status,
        inactive_days,
    )
    after = decode(cursor)
    async with service.reads() as session:
        if role is not None:
            role_set = await role_set_of(session, service.catalog, id, [RoleId(role)])
            role_set.refuse_unknown([RoleId(role)])
        if team is not None:
            await get_team(session, id, TeamId(team))
        rows = await list_members(
            session, id, criteria, now, (after[0], UserId(after[1])) if after else None, limit + 1
        )
    return page(rows, limit, _key, MemberView.listed)


@get("/v1/organizations/{organization:str}/members/{user:str}", operation_id="get_member")
async def show_member(
    organization: PathId, user: PathId, actor: SignedInUser, service: ServiceDependency
) -> Response[MemberView]:
    """Return a member. The ETag identifies their roles."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        member = await get_member(session, id, await resolve_member(session, id, user))
        held = await roles_held(session, id, [member.user_id], now)
    view = MemberView.of(member, held.get(member.user_id, ()))
    return Response(view, headers={"ETag": etag_of_roles(ends_of(member.assignments))})


@put(
    "/v1/organizations/{organization:str}/members/{user:str}/roles",
    operation_id="replace_member_roles",
)
@changes
async def change_member_roles(
    user: PathId,
    change: OrganizationChange,
    data: JSONBody[RolesInput],
    if_match: IfMatch = None,
) -> MemberView:
    """Replace a member's roles. Roles that stay remain in force throughout."""
    roles = expiry_by_role(data.roles)
    member, before = await act.change_member_roles(change, UserId(user), roles, _reason(data))
    refuse_changed(if_match, etag_of_roles(before), RolesChangedMeanwhile, user=user)
    return await _view(change, member)


@patch(
    "/v1/organizations/{organization:str}/members/{user:str}", operation_id="change_membership_end"
)
@changes
async def change_membership(
    user: PathId, change: OrganizationChange, data: JSONBody[MemberPatch]
) -> MemberView:
    """Set or remove the expiry of a membership."""
    member = await act.change_end(change, UserId(user), data.expires_at, _reason(data))
    return await _view(change, member)


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/suspend",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="suspend_member",
)
@revokes
async def suspend_member(
    user: PathId, change: OrganizationChange, data: JSONBody[ReasonInput | None] = None
) -> None:
    """Take away everything a member can do. Their roles are kept for when they return."""
    await act.suspend(change, UserId(user), _reason(data))


@post(
    "/v1/organizations/{organization:str}/members/{user:str}/reactivate",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="reactivate_member",
)
@changes
async def reactivate_member(
    user: PathId, change: OrganizationChange, data: JSONBody[ReasonInput | None] = None
) -> None:
    """Reactivate a suspended member with the roles they had."""
    await act.reactivate(change, UserId(user), _reason(data))


@delete(
    "/v1/organizations/{organization:str}/members/{user:str}",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="remove_member",
)
@revokes
async def remove_member(
    user: PathId, change: OrganizationChange, data: JSONBody[ReasonInput | None] = None
) -> None:
    """Remove a member, with everything that depends on the membership, and end their sessions."""
    await act.remove_member(change, UserId(user), _reason(data))


@post(
    "/v1/organizations/{organization:str}/leave",
    status_code=HTTP_204_NO_CONTENT,
    operation_id="leave_organization",
)
@revokes
async def leave(change: OrganizationChange) -> None:
    """End the caller's own membership."""
    await act.leave(change)


def expiry_by_role(roles: list[str | RoleInput]) -> dict[RoleId, datetime | None]:
    """Return each role's expiry. A role written as its id alone has none. Raises RoleTwice."""
    ends: dict[RoleId, datetime | None] = {}
    for written in roles:
        each = RoleInput(role=written) if isinstance(written, str) else written
        if each.role in ends:
            raise RoleTwice(role=each.role)
        ends[RoleId(each.role)] = each.expires_at
    return ends


async def _view(change: OrganizationChange, member: Membership) -> MemberView:
    """Return the member as they are in the change."""
    users = [member.user_id]
    held = await roles_held(change.session, change.organization, users, change.now)
    return MemberView.of(member, held.get(member.user_id, ()))


def _reason(data: RolesInput | MemberPatch | ReasonInput | None) -> str | None:
    if data is None or data.reason is None:
        return None
    return clean("reason", data.reason, LONGEST_REASON)


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
