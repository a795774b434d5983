"""Plan changes before anything is written, and make them if nothing has changed since."""

import asyncio

from litestar import Response, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from teamaccess.access.authorize import authorize
from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.audit_access import authorize_audit, recheck_audit_access
from teamaccess.api.requests.edge import IfMatch, changes, matches
from teamaccess.api.requests.parameters import AnyRequest, PathId, ServiceDependency
from teamaccess.api.requests.throttling import release_slot
from teamaccess.api.routes.directory.invitations import send
from teamaccess.audit.plans.operations.base import Invitations
from teamaccess.audit.plans.plan import StateMoved, plan, refuse_moved
from teamaccess.audit.plans.proposals import make_all
from teamaccess.catalog import Catalog, InvalidCatalog, read_catalog
from teamaccess.catalog.errors import MOST_MISTAKES
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden, Invalid, TeamaccessError
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.directory.invitations.offer import Letter
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import User
from teamaccess.views.plans import ChangesInput, ChangesMade, PlanInput, PlanView


class BadCatalog(Invalid):
    """The catalog that a plan proposes has mistakes."""

    message = "The catalog has mistakes: {mistakes}."
    most_listed = MOST_MISTAKES + 1  # the last item says how many more there are


class PlanNeeded(Invalid):
    """The request applies changes without naming the plan that showed their effect."""

    message = "Make a plan first, and send its ETag as If-Match."


@post(
    "/v1/organizations/{organization:str}/audit/plan",
    status_code=HTTP_200_OK,
    operation_id="plan_changes",
)
async def make_plan(
    request: AnyRequest, organization: PathId, service: ServiceDependency, data: JSONBody[PlanInput]
) -> Response[PlanView]:
    """Show who would gain and lose which action. Nothing is written.

    The ETag identifies the state for which the plan was made.
    """
    id = await authorize_audit(request, service, organization)
    release_slot(request)
    caller = attribution(request).caller
    catalog = None
    if data.catalog is not None:
        # SECURITY: reading a catalog takes up to a second of processor time, so callers take turns
        async with service.audit.sources.catalog_queue.turn(id, caller):
            catalog = await asyncio.to_thread(_catalog, service.catalog.name, data.catalog)
    asker = None
    if isinstance(request.user, User) and data.changes:
        asker = attribution(request)
    found = await plan(
        service.audit.sources, service.ledger, id, data.changes, catalog, asker, caller
    )
    view = await asyncio.to_thread(PlanView.of, found)
    await recheck_audit_access(request, service, id)
    return Response(view, headers={"ETag": f'"{found.state}"'})


@post(
    "/v1/organizations/{organization:str}/changes",
    status_code=HTTP_200_OK,
    operation_id="make_changes",
)
@changes
async def make_changes(
    change: OrganizationChange,
    service: ServiceDependency,
    data: JSONBody[ChangesInput],
    if_match: IfMatch = None,
) -> ChangesMade:
    """Make changes together, all or none, if the organization has not changed since their plan."""
    if if_match is None or "*" in if_match:  # `*` would allow states other than the planned one
        raise PlanNeeded
    if data.reason is not None:
        change.store_reason(clean("reason", data.reason, LONGEST_REASON))

    def refuse_unplanned() -> None:
        refuse_moved(change, lambda state: matches(if_match, f'"{state}"'))

    async def send_letter(change: OrganizationChange, letter: Letter) -> None:
        await send(change, service, letter)

    try:
        await make_all(data.changes, change, Invitations(service.keys.invitees, send_letter))
    except (Forbidden, UnknownOrganization):
        # SECURITY: a caller without the right learns neither the state nor whether it is the planned one
        raise
    except TeamaccessError as refused:
        await _require_right_to_plan(change, refused)
        refuse_unplanned()
        raise
    try:
        refuse_unplanned()
    except StateMoved:
        await authorize(change, "view_audit")
        raise
    return ChangesMade(len(data.changes))


async def _require_right_to_plan(change: OrganizationChange, refused: TeamaccessError) -> None:
    """Raise the refusal of a change if the caller may not plan.

    SECURITY: some invalid changes are refused before the caller's rights to them are judged.
    """
    try:
        await authorize(change, "view_audit")
    except (Forbidden, UnknownOrganization):
        raise refused from None


def _catalog(name: str, text: str) -> Catalog:
    try:
        return read_catalog(text, name)
    except InvalidCatalog as invalid:
        mistakes = [f"line {each.line}: {each.message}" for each in invalid.mistakes]
        if invalid.left_out:
            mistakes.append(f"and {invalid.left_out} more")
        raise BadCatalog(mistakes=mistakes) from invalid


routes = [make_plan, make_changes]
