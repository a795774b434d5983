"""How far a change has come on its way into SpiceDB."""

from typing import Annotated

from litestar import get
from litestar.params import PathParameter

from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.parameters import AnyRequest, InPath, SignedIn, TheService
from teamaccess.common.errors import NotFound
from teamaccess.ledger.entry import without_inviter
from teamaccess.storage import (
    ApplicationStatus,
    LedgerApplication,
    LedgerEntry,
    OrganizationId,
    is_organization_id,
)
from teamaccess.views.organizations import ChangeView

Position = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]


class UnknownChange(NotFound):
    """The organization's ledger has no entry at this position."""

    message = (
        "{organization} has no change {position}. Use the address from the Location header of a"
        " change."
    )


@get("/v1/organizations/{organization:str}/changes/{position:int}", operation_id="get_change")
async def show_change(
    request: AnyRequest,
    organization: InPath,
    position: Position,
    actor: SignedIn,
    service: TheService,
) -> ChangeView:
    """Return whether a ledger position is pending, applied or refused, and its ZedToken.

    Members are told of every one, and others of what they have made themselves: who founds an
    organization or leaves it is no member while SpiceDB does not know of it yet, or not any more.
    """
    id = OrganizationId(organization)
    async with service.reads() as session:
        known = is_organization_id(id)
        made = await session.get(LedgerEntry, (id, position)) if known else None
        if made is None or without_inviter(made.actor) != attribution(request).actor:
            await service.reading.require_membership(id, actor.id)
        found = await session.get(LedgerApplication, (id, position))
    if found is None:
        raise UnknownChange(organization=organization, position=position)
    status = ApplicationStatus(found.status)
    if status is ApplicationStatus.SKIPPED:
        status = ApplicationStatus.REFUSED  # it was, and an operator has given it up
    return ChangeView(status=status, zed_token=found.zed_token)


routes = [show_change]
