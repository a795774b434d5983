"""The catalog and the caller."""

from litestar import get, post
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.access.authorize import OnlyInPerson
from teamaccess.api.requests.edge import changes
from teamaccess.api.requests.parameters import AnyRequest, ServiceDependency, SignedInUser
from teamaccess.changes import Change
from teamaccess.directory.users.sign_out import end_own_sessions
from teamaccess.ledger import OnBehalf
from teamaccess.views.directory.me import CatalogView, MeView


@get("/v1/catalog", operation_id="get_catalog")
async def show_catalog(service: ServiceDependency) -> CatalogView:
    """Return the access model of this deployment: its resources, actions and roles."""
    return CatalogView.of(service.catalog)


@get("/v1/me", operation_id="get_current_user")
async def show_me(request: AnyRequest, actor: SignedInUser) -> MeView:
    """Return the signed-in user, and the service account that acts for them."""
    return MeView.of(actor, request.auth if isinstance(request.auth, OnBehalf) else None)


@post("/v1/me/sign-out", status_code=HTTP_204_NO_CONTENT, operation_id="sign_out_everywhere")
@changes
async def sign_out(change: Change, actor: SignedInUser) -> None:
    """End every session of the caller. Access tokens issued before are refused from now on."""
    if actor.is_service_account or not change.in_person:
        raise OnlyInPerson  # tokens of service accounts are revoked, each by itself
    await end_own_sessions(change, actor.id)


routes = [show_catalog, show_me, sign_out]
