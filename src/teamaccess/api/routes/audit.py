"""The auditor's questions."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
from litestar import MediaType, Response, get
from litestar.params import QueryParameter
from litestar.response import Stream

from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.audit_access import authorize_audit, recheck_audit_access
from teamaccess.api.requests.parameters import AnyRequest, AtParameter, PathId, ServiceDependency
from teamaccess.api.requests.throttling import release_slot
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.service import AuditScope
from teamaccess.audit.state.moment import Basis
from teamaccess.common.errors import Invalid
from teamaccess.directory.users.find import LONGEST_USER_REFERENCE
from teamaccess.service import Service
from teamaccess.views.audit import MatrixView, WhatCanView, WhoCanView, WhyView
from teamaccess.views.tables import csv_file

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
    str,
    QueryParameter(
        min_length=1,
        max_length=LONGEST_USER_REFERENCE,
        description="A user's id, or the e-mail address or external id of a present or past member. "
        "`external:` before it names an external id only.",
    ),
]
LOST_PLUS = re.compile(r"\S+ \S+@\S+\.\S+")
"""An e-mail address in which a URL turned the + into a space."""
BasisParameter = Annotated[
    Basis,
    QueryParameter(
        description="What counts at that time: what was decided, or what SpiceDB had by then."
    ),
]


class NoUserId(Invalid):
    """The parameter `user` cannot be an id, an e-mail address or an external id."""

    message = (
        "{user!r} is not an id, an e-mail address or an external id. In a URL, write the + of an address "
        "as %2B."
    )


class TableAnswer(Protocol):
    """An answer of many rows. Callers can also get it as CSV, or as one line of JSON for each row."""

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

    def table(self) -> Iterator[list[str]]:
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
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.who_can(scope, action, resource)
    view = await asyncio.to_thread(WhoCanView.of, answer)
    return await _respond(request, service, scope, view)


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
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.what_can(scope, _checked_reference(user))
    view = await asyncio.to_thread(WhatCanView.of, answer)
    return await _respond(request, service, scope, view)


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
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.why(scope, _checked_reference(user), action, resource)
    await recheck_audit_access(request, service, scope.organization)
    return WhyView.of(answer.why, answer.remedies)


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
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.matrix(scope)
    view = await asyncio.to_thread(MatrixView.of, answer)
    return await _respond(request, service, scope, view)


async def _scope(
    request: AnyRequest, service: Service, organization: str, at: datetime | None, basis: Basis
) -> AuditScope:
    """Authorize the caller, and return the scope of the question.

    Raises SignInRequired, UnknownOrganization and MissingPermission.
    """
    id = await authorize_audit(request, service, organization)
    release_slot(request)
    return AuditScope(id, at, basis, attribution(request).caller)


def _checked_reference(user: str) -> str:
    """Return the reference to a user. Raises NoUserId for a text that cannot be one.

    The usual reason is the + of an address, which a URL turns into a space.
    """
    if not user.isprintable() or LOST_PLUS.fullmatch(user):
        raise NoUserId(user=user)
    return user


async def _respond(
    request: AnyRequest, service: Service, scope: AuditScope, answer: TableAnswer
) -> Response[Any]:
    await recheck_audit_access(request, service, scope.organization)
    try:
        media_type = request.accept.best_match([MediaType.JSON, CSV, LINES])
    except (ValueError, OverflowError):  # a quality that is not a number, which HTTP lets us ignore
        media_type = None
    if media_type == CSV:
        headers = {EVIDENCE: msgspec.json.encode(answer.evidence).decode()}
        lines = csv_file(answer.table())
        return Stream(lines, media_type=CSV, headers=headers)
    if media_type == LINES:
        return Stream(_lines(answer), media_type=LINES)
    return Response(answer)


def _lines(answer: TableAnswer) -> Iterator[bytes]:
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
