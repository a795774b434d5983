"""Teams: their members and their roles."""

from datetime import datetime

from litestar import Response, delete, get, patch, post, put
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import ends_of
from teamaccess.api.requests.edge import IfMatch, changes, etag_of_roles, refuse_changed, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import (
    AnyRequest,
    PastMoment,
    PathId,
    ServiceDependency,
    SignedInUser,
)
from teamaccess.api.requests.past_lists import past_page, read_past
from teamaccess.api.requests.receiving import LARGEST_BATCH
from teamaccess.api.routes.directory.members import expiry_by_role
from teamaccess.audit.lists.past_directory import PastDirectory
from teamaccess.audit.lists.people import team_members_at
from teamaccess.audit.lists.teams import teams_in_force_at
from teamaccess.changes import OrganizationChange
from teamaccess.changes.time_limit import time_limit
from teamaccess.common.errors import PreconditionFailed
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.teams import act, places
from teamaccess.directory.teams.find import (
    TeamMemberEntry,
    get_team,
    list_team_members,
    list_teams,
)
from teamaccess.directory.users.find import resolve_members
from teamaccess.storage import OrganizationId, TeamId, UserId
from teamaccess.views.directory.members import RolesInput
from teamaccess.views.directory.teams import (
    NewTeam,
    PlaceBatch,
    PlaceResultsView,
    PlaceResultView,
    TeamMemberView,
    TeamPatch,
    TeamPlaceInput,
    TeamView,
)

TEAMS = "/v1/organizations/{organization:str}/teams"
ONE = f"{TEAMS}/{{team:str}}"
TEAM_MEMBER = f"{ONE}/members/{{user:str}}"


class TeamRolesChangedMeanwhile(PreconditionFailed):
    """The `If-Match` of the request is not the current ETag of the team's roles."""

    message = "The roles of the team {team} have changed since you read them. Read them again."


@post(TEAMS, operation_id="create_team")
@changes
async def create_team(change: OrganizationChange, data: JSONBody[NewTeam]) -> TeamView:
    """Create a team without members and roles."""
    return TeamView.of(await act.create_team(change, data.id, data.name), change.now)


@get(TEAMS, operation_id="list_teams")
async def show_teams(
    request: AnyRequest,
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[TeamView]:
    """List the teams with their roles, the oldest first. With `at`, the list is as it was."""
    if past_moment is not None:
        teams = await read_past(request, service, organization, past_moment, teams_in_force_at)
        return past_page(
            teams,
            cursor,
            limit,
            lambda row: (row[0].created_at, row[0].id),
            lambda row: TeamView.of(*row),
        )
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        rows = await list_teams(session, id, decode(cursor), limit + 1)
    return page(
        rows, limit, lambda row: (row.created_at, row.id), lambda row: TeamView.of(row, now)
    )


@get(ONE, operation_id="get_team")
async def show_team(
    organization: PathId, team: PathId, actor: SignedInUser, service: ServiceDependency
) -> Response[TeamView]:
    """Return a team. The ETag identifies its roles."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    async with service.reads() as session:
        found = await get_team(session, id, TeamId(team))
    return Response(TeamView.of(found, now), headers={"ETag": etag_of_roles(ends_of(found.roles))})


@patch(ONE, operation_id="rename_team")
@changes
async def rename_team(
    team: PathId, change: OrganizationChange, data: JSONBody[TeamPatch]
) -> TeamView:
    """Change a team's name."""
    return TeamView.of(await act.rename_team(change, TeamId(team), data.name), change.now)


@delete(ONE, status_code=HTTP_204_NO_CONTENT, operation_id="delete_team")
@revokes
async def delete_team(team: PathId, change: OrganizationChange) -> None:
    """Delete a team. Its members lose everything they had through it."""
    await act.delete_team(change, TeamId(team))


@put(f"{ONE}/roles", operation_id="replace_team_roles")
@changes
async def change_team_roles(
    team: PathId,
    change: OrganizationChange,
    data: JSONBody[RolesInput],
    if_match: IfMatch = None,
) -> TeamView:
    """Replace a team's roles. Everybody in the team has them."""
    reason = clean("reason", data.reason, LONGEST_REASON) if data.reason is not None else None
    roles = expiry_by_role(data.roles)
    changed, before = await act.change_team_roles(change, TeamId(team), roles, reason)
    refuse_changed(if_match, etag_of_roles(before), TeamRolesChangedMeanwhile, team=team)
    return TeamView.of(changed, change.now)


@get(f"{ONE}/members", operation_id="list_team_members")
async def show_team_members(
    request: AnyRequest,
    organization: PathId,
    team: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    past_moment: PastMoment,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[TeamMemberView]:
    """List a team's members in the order in which they joined it. With `at`, the list is as it was."""
    if past_moment is not None:

        async def read(session: AsyncSession, past: PastDirectory) -> list[TeamMemberEntry]:
            return await team_members_at(session, past, TeamId(team))

        places_then = await read_past(request, service, organization, past_moment, read)
        return past_page(places_then, cursor, limit, _key, TeamMemberView.listed)
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "view_members")
    now = await service.now()
    after = decode(cursor)
    async with service.reads() as session:
        found = await get_team(session, id, TeamId(team))
        rows = await list_team_members(
            session, found, now, (after[0], UserId(after[1])) if after else None, limit + 1
        )
    return page(rows, limit, lambda row: (row.joined_at, row.user_id), TeamMemberView.listed)


@put(TEAM_MEMBER, operation_id="put_team_member")
@changes
async def put_into_team(
    team: PathId,
    user: PathId,
    change: OrganizationChange,
    data: JSONBody[TeamPlaceInput | None] = None,
) -> TeamMemberView:
    """Put a member into a team, until `expires_at` or without an expiry."""
    until = data.expires_at if data is not None else None
    return TeamMemberView.of(*await places.put(change, TeamId(team), UserId(user), until))


@delete(TEAM_MEMBER, status_code=HTTP_204_NO_CONTENT, operation_id="remove_team_member")
@revokes
async def take_out_of_team(team: PathId, user: PathId, change: OrganizationChange) -> None:
    """Take a member out of a team. Every member may leave a team at any time."""
    await places.take(change, TeamId(team), UserId(user))


@post(
    "/v1/organizations/{organization:str}/team-members:batch",
    status_code=HTTP_200_OK,
    request_max_body_size=LARGEST_BATCH,
    operation_id="change_team_members",
)
@changes
async def change_team_members(
    change: OrganizationChange, data: JSONBody[PlaceBatch]
) -> PlaceResultsView:
    """Put up to 500 members into teams and take them out, in one change, all or none."""
    async with time_limit(change):
        members = await resolve_members(
            change.session, change.organization, [each.user for each in data.items]
        )
        operations = [
            places.PlaceOperation(
                TeamId(each.team),
                members[each.user],
                each.expires_at,
                remove=each.operation == "remove",
            )
            for each in data.items
        ]
        results = await places.change_places(change, operations)
    return PlaceResultsView(
        [
            PlaceResultView(operation.team, operation.user, result)
            for operation, result in zip(operations, results, strict=True)
        ]
    )


def _key(place: TeamMemberEntry) -> tuple[datetime, str]:
    return place.joined_at, place.user_id


routes = [
    create_team,
    show_teams,
    show_team,
    rename_team,
    delete_team,
    change_team_roles,
    show_team_members,
    put_into_team,
    take_out_of_team,
    change_team_members,
]
