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
from teamaccess.api.requests.auditable import auditable, still_auditable
from teamaccess.api.requests.parameters import AnyRequest, InPath, TheService
from teamaccess.api.requests.throttling import give_up_slot
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.service import AuditScope
from teamaccess.audit.state.moment import Basis
from teamaccess.common.errors import Invalid
from teamaccess.service import Service
from teamaccess.storage import is_local_id
from teamaccess.views.audit import MatrixView, WhatCanView, WhoCanView, WhyView
from teamaccess.views.tables import rows_as_csv

CSV = "text/csv"
LINES = "application/x-ndjson"
EVIDENCE = "Teamaccess-Evidence"
"""The header with what JSON has as `evidence`: a table has no place for it."""
Action = Annotated[
    str, QueryParameter(min_length=1, max_length=64, description="An action, or of the resource.")
]
Resource = Annotated[
    str | None, QueryParameter(max_length=200, description="type:id, as in webhook:wh_1.")
]
Whose = Annotated[str, QueryParameter(min_length=1, max_length=100, description="A user's id.")]
At = Annotated[
    datetime | None,
    QueryParameter(description="A past time with its zone, as 2026-03-31T23:59:59Z; now without."),
]
By = Annotated[
    Basis,
    QueryParameter(
        description="What counts at that time: what was decided, or what had reached SpiceDB."
    ),
]


class NoUserId(Invalid):
    """The parameter `user` has not the form of a user id; HTTP does not look users up by address."""

    message = (
        "{user!r} is not a user id. Use an id from the list of members; only the command "
        "`teamaccess audit` accepts e-mail addresses."
    )


class TableAnswer(Protocol):
    """An answer of many rows, which can be had row by row and as a spreadsheet, too."""

    @property
    def evidence(self) -> Evidence:
        """What makes it evidence."""

    @property
    def items(self) -> Sequence[object]:
        """Its rows."""

    @property
    def changes(self) -> Sequence[object]:
        """What the rows refer to."""

    @property
    def people(self) -> Sequence[object]:
        """Who made these changes."""

    def table(self) -> Iterator[list[str]]:
        """Yield its rows."""


@get("/v1/organizations/{organization:str}/audit/who-can", operation_id="list_permission_holders")
async def show_who_can(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    action: Action,
    resource: Resource = None,
    at: At = None,
    basis: By = Basis.DECIDED,
) -> Response[WhoCanView]:
    """Show everybody who can do something, with every way in which each of them can.

    As JSON, or as text/csv or application/x-ndjson where that is asked for.
    """
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.who_can(scope, action, resource)
    view = await asyncio.to_thread(WhoCanView.of, answer)
    return await _shown(request, service, scope, view)


@get("/v1/organizations/{organization:str}/audit/what-can", operation_id="list_permissions_of_user")
async def show_what_can(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    user: Whose,
    at: At = None,
    basis: By = Basis.DECIDED,
) -> Response[WhatCanView]:
    """Show everything that somebody can do, with every way in which they can.

    As JSON, or as text/csv or application/x-ndjson where that is asked for.
    """
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.what_can(scope, _user_id(user))
    view = await asyncio.to_thread(WhatCanView.of, answer)
    return await _shown(request, service, scope, view)


@get("/v1/organizations/{organization:str}/audit/why", operation_id="explain_permission")
async def show_why(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    user: Whose,
    action: Action,
    resource: Resource = None,
    at: At = None,
    basis: By = Basis.DECIDED,
) -> WhyView:
    """Say whether somebody can do something, and why, or why not and what would allow it."""
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.why(scope, _user_id(user), action, resource)
    await still_auditable(request, service, scope.organization)
    return WhyView.of(answer.why, answer.remedies)


@get("/v1/organizations/{organization:str}/audit/matrix", operation_id="get_permission_matrix")
async def show_matrix(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    at: At = None,
    basis: By = Basis.DECIDED,
) -> Response[MatrixView]:
    """Show every active member by every action.

    As JSON, or as text/csv or application/x-ndjson where that is asked for.
    """
    scope = await _scope(request, service, organization, at, basis)
    answer = await service.audit.matrix(scope)
    view = await asyncio.to_thread(MatrixView.of, answer)
    return await _shown(request, service, scope, view)


async def _scope(
    request: AnyRequest, service: Service, organization: str, at: datetime | None, basis: Basis
) -> AuditScope:
    """Return what the question is about if the caller may ask it; raises what `auditable` does."""
    id = await auditable(request, service, organization)
    give_up_slot(request)
    return AuditScope(id, at, basis, attribution(request).caller)


def _user_id(user: str) -> str:
    """Return the id; raises NoUserId for anything else, so that a slip is not answered with "no"."""
    if not is_local_id(user):
        raise NoUserId(user=user)
    return user


async def _shown(
    request: AnyRequest, service: Service, scope: AuditScope, answer: TableAnswer
) -> Response[Any]:
    await still_auditable(request, service, scope.organization)
    try:
        wanted = request.accept.best_match([MediaType.JSON, CSV, LINES])
    except (ValueError, OverflowError):  # a quality that is no number, which HTTP lets us ignore
        wanted = None
    if wanted == CSV:
        headers = {EVIDENCE: msgspec.json.encode(answer.evidence).decode()}
        lines = rows_as_csv(answer.table())
        return Stream(lines, media_type=CSV, headers=headers)
    if wanted == LINES:
        return Stream(_lines(answer), media_type=LINES)
    return Response(answer)


def _lines(answer: TableAnswer) -> Iterator[bytes]:
    """Yield the answer line by line; the last one says that it is whole."""
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
