"""The catalog, and the caller."""

from litestar import get, post
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.api.edge import changes
from teamaccess.api.parameters import AnyRequest, SignedIn, TheService
from teamaccess.api.views.catalog import CatalogView
from teamaccess.api.views.me import MeView
from teamaccess.events import record
from teamaccess.ledger import Change, OnBehalf
from teamaccess.models import Event, User
from teamaccess.users.in_person import OnlyInPerson


@get("/v1/catalog")
async def show_catalog(service: TheService) -> CatalogView:
    """Return resources, actions and roles: the access model of this deployment."""
    return CatalogView.of(service.catalog)


@get("/v1/me")
async def show_me(request: AnyRequest, actor: SignedIn) -> MeView:
    """Return the signed-in user, and who acts for them."""
    return MeView.of(actor, request.auth if isinstance(request.auth, OnBehalf) else None)


@post("/v1/me/sign-out", status_code=HTTP_204_NO_CONTENT)
@changes
async def sign_out(change: Change, actor: SignedIn) -> None:
    """End every session of the caller; each access token issued before is refused from now on."""
    if actor.is_service_account or change.attribution.on_behalf is not None:
        raise OnlyInPerson  # tokens of service accounts are revoked, each by itself
    mine = await change.session.get_one(User, actor.id)
    await record(change, "signed_out", Event.PLATFORM, f"user:{mine.id}")
    change.end_sessions(mine)


routes = [show_catalog, show_me, sign_out]
