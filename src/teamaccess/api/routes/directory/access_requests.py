"""Access requests: make, list, approve, decline and withdraw them."""

from litestar import get, post
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from teamaccess.api.requests.edge import changes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import AnyRequest, PathId, ServiceDependency, SignedInUser
from teamaccess.changes import OrganizationChange
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.access_requests import decide
from teamaccess.directory.access_requests.ask import AccessRequestInput, ask, withdraw
from teamaccess.directory.access_requests.find import Viewer, get_request, list_requests, reasons_of
from teamaccess.ledger import OnBehalf
from teamaccess.service import Service
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    OrganizationId,
    RequestId,
    RoleId,
    User,
)
from teamaccess.views.directory.access_requests import (
    AccessRequestView,
    Approval,
    NewAccessRequest,
    Refusal,
)

ALL = "/v1/organizations/{organization:str}/access-requests"
ONE = ALL + "/{access_request:str}"


@post(ALL, operation_id="request_access")
@changes
async def ask_for_access(
    change: OrganizationChange, data: JSONBody[NewAccessRequest]
) -> AccessRequestView:
    """Ask for a role or an action for some hours. Members who may give it decide."""
    role = RoleId(data.role) if data.role is not None else None
    reason = clean("reason", data.reason, LONGEST_REASON)
    request = AccessRequestInput(role, data.action, data.duration_hours, reason)
    return await _view_of(change, await ask(change, request))


@get(ALL, operation_id="list_access_requests")
async def show_access_requests(
    request: AnyRequest,
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    status: FromQuery[AccessRequestStatus | None] = None,
    mine: FromQuery[bool] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[AccessRequestView]:
    """List the caller's own requests and the requests that they may decide, the newest first."""
    viewer = await _viewer(request, service, organization, actor)
    before = decode(cursor)
    async with service.reads() as session:
        rows = await list_requests(
            session,
            service.catalog,
            viewer,
            status,
            mine,
            (before[0], RequestId(before[1])) if before else None,
            limit + 1,
        )
        reasons = await reasons_of(session, rows)
    return page(
        rows,
        limit,
        lambda row: (row.requested_at, row.id),
        lambda row: AccessRequestView.of(row, reasons),
    )


@get(ONE, operation_id="get_access_request")
async def show_access_request(
    request: AnyRequest,
    organization: PathId,
    access_request: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
) -> AccessRequestView:
    """Return a request that the caller made or may decide."""
    viewer = await _viewer(request, service, organization, actor)
    async with service.reads() as session:
        row = await get_request(session, service.catalog, viewer, RequestId(access_request))
        return AccessRequestView.of(row, await reasons_of(session, [row]))


@post(ONE + "/approve", status_code=HTTP_200_OK, operation_id="approve_access_request")
@changes
async def approve_access_request(
    access_request: PathId, change: OrganizationChange, data: JSONBody[Approval | None] = None
) -> AccessRequestView:
    """Approve another member's request. Access begins now and lasts at most as long as requested."""
    approval = data or Approval()
    approved = await decide.approve(
        change,
        RequestId(access_request),
        approval.duration_hours,
        RoleId(approval.role) if approval.role is not None else None,
        _cleaned(approval.reason),
    )
    return await _view_of(change, approved)


@post(ONE + "/decline", status_code=HTTP_200_OK, operation_id="decline_access_request")
@changes
async def decline_access_request(
    access_request: PathId, change: OrganizationChange, data: JSONBody[Refusal | None] = None
) -> AccessRequestView:
    """Decline another member's request."""
    reason = data.reason if data is not None else None
    declined = await decide.decline(change, RequestId(access_request), _cleaned(reason))
    return await _view_of(change, declined)


@post(ONE + "/withdraw", status_code=HTTP_200_OK, operation_id="withdraw_access_request")
@changes
async def withdraw_access_request(
    access_request: PathId, change: OrganizationChange
) -> AccessRequestView:
    """Withdraw the caller's own request."""
    return await _view_of(change, await withdraw(change, RequestId(access_request)))


async def _viewer(request: AnyRequest, service: Service, organization: str, actor: User) -> Viewer:
    id = OrganizationId(organization)
    in_person = not actor.is_service_account and not isinstance(request.auth, OnBehalf)
    return Viewer(id, actor.id, await service.reading.held(id, actor.id), in_person)


async def _view_of(change: OrganizationChange, request: AccessRequest) -> AccessRequestView:
    return AccessRequestView.of(request, await reasons_of(change.session, [request]))


def _cleaned(reason: str | None) -> str | None:
    return clean("reason", reason, LONGEST_REASON) if reason is not None else None


routes = [
    ask_for_access,
    show_access_requests,
    show_access_request,
    approve_access_request,
    decline_access_request,
    withdraw_access_request,
]
