"""Follow a change into SpiceDB."""

from typing import Annotated

from litestar import get
from litestar.params import PathParameter

from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.parameters import AnyRequest, PathId, ServiceDependency, SignedInUser
from teamaccess.common.errors import NotFound
from teamaccess.ledger.entry import without_inviter
from teamaccess.ledger.zed_tokens import zed_token_or_none
from teamaccess.storage import (
    ApplicationStatus,
    LedgerApplication,
    LedgerEntry,
    OrganizationId,
    is_organization_id,
)
from teamaccess.views.directory.organizations import ChangeView

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
    organization: PathId,
    position: Position,
    actor: SignedInUser,
    service: ServiceDependency,
) -> ChangeView:
    """Return whether a ledger position is pending, applied or refused, and its ZedToken.

    Members may see every position. Other callers may see the changes they made themselves, because a
    person who creates an organization or leaves it is not a member in SpiceDB at that time.
    """
    id = OrganizationId(organization)
    async with service.reads() as session:
        is_id = is_organization_id(id)
        entry = await session.get(LedgerEntry, (id, position)) if is_id else None
        if entry is None or without_inviter(entry.actor) != attribution(request).actor:
            await service.reading.require_membership(id, actor.id)
        application = await session.get(LedgerApplication, (id, position))
    if application is None:
        raise UnknownChange(organization=organization, position=position)
    status = ApplicationStatus(application.status)
    if status is ApplicationStatus.SKIPPED:
        status = ApplicationStatus.REFUSED  # SpiceDB refused it, and then an operator skipped it
    return ChangeView(status=status, zed_token=zed_token_or_none(application.zed_token))


routes = [show_change]
