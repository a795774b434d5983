"""Who is asking, and for whom."""

from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.middleware.authentication import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)

from teamaccess.access.authorize import MissingPermission
from teamaccess.api.identity.callers import Caller, Operator, request_id, service_for
from teamaccess.api.identity.credentials import authenticate_token
from teamaccess.changes.events.users import Refused
from teamaccess.common.errors import Forbidden, Unauthenticated
from teamaccess.directory.users.find import NobodyToActFor, person_in
from teamaccess.directory.users.tokens import InvalidToken
from teamaccess.ledger import Attribution, OnBehalf, UnknownOrganization
from teamaccess.service import Service
from teamaccess.storage import Channel, User

SCHEME = "bearer"
ON_BEHALF_OF = "Teamaccess-On-Behalf-Of"


class SignInRequired(Unauthenticated):
    """The route needs a signed-in user, and the request has no access token."""

    message = "Sign in first: send an access token as `Authorization: Bearer <token>`."


class OnlyServiceAccountsAct(Forbidden):
    """A caller other than a service account sent `Teamaccess-On-Behalf-Of`."""

    message = (
        "Only a service account can act for another user. Leave the header "
        "Teamaccess-On-Behalf-Of out."
    )


class UsersOnly(Forbidden):
    """The route needs a user, and the token is an operator's."""

    message = (
        "This needs a user, and your token is an operator's. Operators can create and list "
        "organizations (POST and GET /v1/organizations), check and audit here; use the command "
        "`teamaccess` for everything else."
    )


class Authentication(AbstractAuthenticationMiddleware):
    """Reads the bearer token. Nobody is fine here; the routes say whom they need."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Return the user or operator of the token, None without one; raises InvalidToken.

        Of a service account that acts for a member the member, and both of them besides.
        """
        service: Service = connection.app.state.service
        name = request_id(connection.scope)
        caller, shown = None, None
        if (header := connection.headers.get("Authorization")) is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != SCHEME:
                raise InvalidToken(cause="the Authorization header is not a bearer token")
            caller, shown = await authenticate_token(service, token.strip(), name)
        connection.scope["state"]["shown"] = shown
        if (whom := connection.headers.get(ON_BEHALF_OF)) is not None:
            member, both = await _acted_for(service, caller, whom, name)
            return AuthenticationResult(user=member, auth=both)
        return AuthenticationResult(user=caller, auth=shown)


async def _acted_for(
    service: Service, caller: Caller, whom: str, request_id: str
) -> tuple[User, OnBehalf]:
    """Return the member for whom a service account acts.

    Whether it may is asked here for a clear answer, and again with every permission that is needed.
    """
    if caller is None:
        raise SignInRequired
    if not isinstance(caller, User) or caller.service_account_of is None:
        raise OnlyServiceAccountsAct
    here = caller.service_account_of
    try:
        await service.reading.require(here, caller.id, "act_on_behalf")
        async with service.reads() as session:
            member = await person_in(session, here, whom)
    except (MissingPermission, UnknownOrganization, NobodyToActFor) as refused:
        account = Attribution(f"user:{caller.id}", Channel.API, request_id)
        await service.refusals.record(account, Refused(code=refused.code), here)
        raise
    return member, OnBehalf(member.id, caller.id)


async def provide_service(request: Request[Any, Any, Any]) -> Service:
    """Return what `service_for` does."""
    return service_for(request)


async def provide_user(request: Request[Any, Any, Any]) -> User:
    """Return the signed-in user; raises SignInRequired, and UsersOnly for an operator."""
    if isinstance(request.user, Operator):
        raise UsersOnly
    if not isinstance(request.user, User):
        raise SignInRequired
    return request.user
