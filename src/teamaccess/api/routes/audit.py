"""The auditor's questions."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
from litestar import MediaType, Response, get
from litestar.params import QueryParameter
from litestar.response import Stream

from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.audit_access import authorize_audit, recheck_audit_access
from teamaccess.api.requests.parameters import AnyRequest, PathId, ServiceDependency
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.questions.matrix import matrix
from teamaccess.audit.questions.what_can import what_can
from teamaccess.audit.questions.who_can import who_can
from teamaccess.audit.questions.why import why
from teamaccess.audit.remedies.remedies import remedies_for
from teamaccess.audit.state.moment import Basis, Moment
from teamaccess.audit.state.view import AuditSource
from teamaccess.common.errors import Invalid
from teamaccess.directory.users.find import UnknownUser, user_now
from teamaccess.service import Service
from teamaccess.storage import UserId, is_local_id
from teamaccess.views.audit import MatrixView, WhatCanView, WhoCanView, WhyView
from teamaccess.views.tables import rows_as_csv

CSV = "text/csv"
LINES = "application/x-ndjson"
EVIDENCE = "Teamaccess-Evidence"
"""The header with the JSON answer's `evidence`, because a CSV table has no place for it."""
Action = Annotated[
    str,
    QueryParameter(
        min_length=1, max_length=64, description="An action of the catalog, or of the resource."
    ),
]
Resource = Annotated[
    str | None,
    QueryParameter(max_length=200, description="An object as type:id, as in webhook:wh_1."),
]
UserParameter = Annotated[
    str, QueryParameter(min_length=1, max_length=100, description="A user's id.")
]
AtParameter = Annotated[
    datetime | None,
    QueryParameter(
        description="A past time with its zone, as in 2026-03-31T23:59:59Z. Omit it for the present."
    ),
]
BasisParameter = Annotated[
    Basis,
    QueryParameter(
        description="What counts at that time: what was decided, or what SpiceDB had by then."
    ),
]


class TimeWithoutZone(Invalid):
    """`at` has no time zone, so it names no instant."""

    message = (
        "The time {at} has no time zone. Write {at}Z for UTC, or add an offset such as +02:00 "
        "(%2B02:00 in a URL)."
    )


class NoUserId(Invalid):
    """The parameter `user` has not the form of a user id; HTTP does not look users up by address."""

    message = (
        "{user!r} is not a user id. Use an id from the list of members; only the command "
        "`teamaccess audit` accepts e-mail addresses."
    )


class TabularAnswer(Protocol):
    """An answer of many rows. Callers can also get it as CSV or as one JSON line for each row."""

    @property
    def evidence(self) -> Evidence:
        """The question, the position and the counts that make the answer evidence."""

    @property
    def items(self) -> Sequence[object]:
        """The rows as JSON objects."""

    @property
    def changes(self) -> Sequence[object]:
        """The changes that the rows refer to."""

    @property
    def people(self) -> Sequence[object]:
        """The people who made these changes."""

    def sheet(self) -> Iterator[list[str]]:
        """Yield the heading and the rows as cells."""


@get("/v1/organizations/{organization:str}/audit/who-can", operation_id="list_permission_holders")
async def show_who_can(
    request: AnyRequest,
    organization: PathId,
    service: ServiceDependency,
    action: Action,
    resource: Resource = None,
    at: AtParameter = None,
    basis: BasisParameter = Basis.DECIDED,
) -> Response[WhoCanView]:
    """List everybody who can do something, with every reason why.

    The answer is JSON, or text/csv or application/x-ndjson if `Accept` asks for it.
    """
    source = await _source(request, service, organization, at, basis)
    found = await who_can(source, action, resource)
    view = await asyncio.to_thread(WhoCanView.of, found)
    return await _respond(request, service, source, view)


@get("/v1/organizations/{organization:str}/audit/what-can", operation_id="list_permissions_of_user")
async def show_what_can(
    request: AnyRequest,
    organization: PathId,
    service: ServiceDependency,
    user: UserParameter,
    at: AtParameter = None,
    basis: BasisParameter = Basis.DECIDED,
) -> Response[WhatCanView]:
    """List everything that a user can do, with every reason why.

    The answer is JSON, or text/csv or application/x-ndjson if `Accept` asks for it.
    """
    source = await _source(request, service, organization, at, basis)
    found = await what_can(source, await _require_user(service, user))
    view = await asyncio.to_thread(WhatCanView.of, found)
    return await _respond(request, service, source, view)


@get("/v1/organizations/{organization:str}/audit/why", operation_id="explain_permission")
async def show_why(
    request: AnyRequest,
    organization: PathId,
    service: ServiceDependency,
    user: UserParameter,
    action: Action,
    resource: Resource = None,
    at: AtParameter = None,
    basis: BasisParameter = Basis.DECIDED,
) -> WhyView:
    """Explain why a user can do something, or why not and which changes would allow it."""
    source = await _source(request, service, organization, at, basis)
    found = await why(source, await _require_user(service, user), action, resource)
    caller = attribution(request).caller
    remedies = await remedies_for(
        service.audit, service.ledger, service.keys.invitees, found, caller
    )
    await recheck_audit_access(request, service, source.organization)
    return WhyView.of(found, remedies)


@get("/v1/organizations/{organization:str}/audit/matrix", operation_id="get_permission_matrix")
async def show_matrix(
    request: AnyRequest,
    organization: PathId,
    service: ServiceDependency,
    at: AtParameter = None,
    basis: BasisParameter = Basis.DECIDED,
) -> Response[MatrixView]:
    """List every active member with their actions.

    The answer is JSON, or text/csv or application/x-ndjson if `Accept` asks for it.
    """
    source = await _source(request, service, organization, at, basis)
    found = await matrix(source)
    view = await asyncio.to_thread(MatrixView.of, found)
    return await _respond(request, service, source, view)


async def _source(
    request: AnyRequest, service: Service, organization: str, at: datetime | None, basis: Basis
) -> AuditSource:
    """Authorize the caller, and return the state that answers the question: the present or a past one.

    Raises the errors of `authorize_audit` and of `service.audit.of`, and TimeWithoutZone.
    """
    id = await authorize_audit(request, service, organization)
    caller = attribution(request).caller
    if at is None:
        return await service.audit.of(id, caller=caller)
    if at.utcoffset() is None:
        raise TimeWithoutZone(at=at.isoformat())
    return await service.audit.of(id, Moment(at, basis), caller)


async def _require_user(service: Service, user: str) -> UserId:
    """Return the user's id. A mistyped id must not get the answer "no".

    Raises NoUserId and UnknownUser.
    """
    if not is_local_id(user):
        raise NoUserId(user=user)
    async with service.reads() as session:
        if await user_now(session, UserId(user)) is None:
            raise UnknownUser(user=user)
    return UserId(user)


async def _respond(
    request: AnyRequest, service: Service, source: AuditSource, answer: TabularAnswer
) -> Response[Any]:
    await recheck_audit_access(request, service, source.organization)
    try:
        media_type = request.accept.best_match([MediaType.JSON, CSV, LINES])
    except (ValueError, OverflowError):  # a quality that is not a number, which HTTP lets us ignore
        media_type = None
    if media_type == CSV:
        headers = {EVIDENCE: msgspec.json.encode(answer.evidence).decode()}
        lines = rows_as_csv(answer.sheet())
        return Stream(lines, media_type=CSV, headers=headers)
    if media_type == LINES:
        return Stream(_lines(answer), media_type=LINES)
    return Response(answer)


def _lines(answer: TabularAnswer) -> Iterator[bytes]:
    """Yield the answer line by line. The last line shows that the answer is complete."""
    yield _line(evidence=answer.evidence)
    for change in answer.changes:
        yield _line(change=change)
    for person in answer.people:
        yield _line(person=person)
    for item in answer.items:
        yield _line(item=item)
    yield _line(end={"rows": answer.evidence.rows})


def _line(**content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"


routes = [show_who_can, show_what_can, show_why, show_matrix]
