"""The auditor's questions."""

from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import msgspec
from litestar import MediaType, Response, get
from litestar.params import QueryParameter
from litestar.response import Stream

from teamaccess.api.authentication import SignInRequired
from teamaccess.api.callers import Operator
from teamaccess.api.parameters import AnyRequest, InPath, TheService
from teamaccess.api.views.audit import (
    MatrixView,
    WhatCanView,
    WhoCanView,
    WhyView,
)
from teamaccess.audit.evidence import Evidence
from teamaccess.audit.matrix import matrix
from teamaccess.audit.remedies import remedies_for
from teamaccess.audit.what_can import what_can
from teamaccess.audit.who_can import who_can
from teamaccess.audit.why import why
from teamaccess.ledger import UnknownOrganization
from teamaccess.models import OrganizationId, User, UserId, is_local_id, is_organization_id
from teamaccess.service import Service
from teamaccess.sheets import rows_as_csv
from teamaccess.users.find import UnknownUser

CSV = "text/csv"
EVIDENCE = "Teamaccess-Evidence"
"""The header with what JSON has as `evidence`: a table has no place for it."""
Action = Annotated[
    str, QueryParameter(min_length=1, max_length=64, description="An action, or of the resource.")
]
Resource = Annotated[
    str | None, QueryParameter(max_length=200, description="type:id, as in webhook:wh_1.")
]
Whose = Annotated[str, QueryParameter(min_length=1, max_length=100, description="A user's id.")]


class Sheet(Protocol):
    """What can be shown as a spreadsheet, too."""

    evidence: Evidence

    def sheet(self) -> Iterator[list[str]]:
        """Yield its rows."""


@get("/v1/organizations/{organization:str}/audit/who-can")
async def show_who_can(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    action: Action,
    resource: Resource = None,
) -> Response[WhoCanView]:
    """Show everybody who can do something, with every way in which each of them can.

    As JSON, or as text/csv where that is asked for.
    """
    id = await _auditable(request, service, organization)
    found = await who_can(service.audit, id, action, resource)
    return _shown(request, WhoCanView.of(found))


@get("/v1/organizations/{organization:str}/audit/what-can")
async def show_what_can(
    request: AnyRequest, organization: InPath, service: TheService, user: Whose
) -> Response[WhatCanView]:
    """Show everything that somebody can do, with every way in which they can.

    As JSON, or as text/csv where that is asked for.
    """
    id = await _auditable(request, service, organization)
    return _shown(request, WhatCanView.of(await what_can(service.audit, id, _named(user))))


@get("/v1/organizations/{organization:str}/audit/why")
async def show_why(
    request: AnyRequest,
    organization: InPath,
    service: TheService,
    user: Whose,
    action: Action,
    resource: Resource = None,
) -> WhyView:
    """Say whether somebody can do something, and why, or why not and what would allow it."""
    id = await _auditable(request, service, organization)
    found = await why(service.audit, id, _named(user), action, resource)
    return WhyView.of(
        found, await remedies_for(service.audit, service.ledger, service.keys.invitees, found)
    )


@get("/v1/organizations/{organization:str}/audit/matrix")
async def show_matrix(
    request: AnyRequest, organization: InPath, service: TheService
) -> Response[MatrixView]:
    """Show every active member by every action, as JSON, or as text/csv where that is asked for."""
    id = await _auditable(request, service, organization)
    return _shown(request, MatrixView.of(await matrix(service.audit, id)))


async def _auditable(request: AnyRequest, service: Service, organization: str) -> OrganizationId:
    """Return the organization; raises UnknownOrganization and MissingPermission for who may not ask."""
    id = OrganizationId(organization)
    if isinstance(request.user, User):
        await service.reading.require(id, request.user.id, "view_audit")
    elif not isinstance(request.user, Operator):
        raise SignInRequired
    elif not is_organization_id(id):
        raise UnknownOrganization(organization=organization)
    return id


def _named(user: str) -> UserId:
    if not is_local_id(user):
        raise UnknownUser(user=user)
    return UserId(user)


def _shown(request: AnyRequest, answer: Sheet) -> Response[Any]:
    if request.accept.best_match([MediaType.JSON, CSV]) == CSV:
        lines = rows_as_csv(answer.sheet())
        headers = {EVIDENCE: msgspec.json.encode(answer.evidence).decode()}
        return Stream(lines, media_type=f"{CSV}; charset=utf-8", headers=headers)
    return Response(answer)


routes = [show_who_can, show_what_can, show_why, show_matrix]
