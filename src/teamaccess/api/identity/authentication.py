"""Find out who sends a request, and for which member a service account acts."""

from typing import Any
from urllib.parse import unquote

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
    """Reads the bearer token. Anonymous requests pass. Each route enforces its own requirement."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Return the token's user or operator with the credential, or None without a token.

        For a service account that acts for a member, the user is the member, and the credential names
        both. Raises InvalidToken and InvalidApiToken.
        """
        service: Service = connection.app.state.service
        name = request_id(connection.scope)
        caller, credential = None, None
        if (header := connection.headers.get("Authorization")) is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != SCHEME:
                raise InvalidToken(cause="the Authorization header is not a bearer token")
            caller, credential = await authenticate_token(service, token.strip(), name)
        connection.scope["state"]["credential"] = credential
        if (user := connection.headers.get(ON_BEHALF_OF)) is not None:
            member, both = await _member_acted_for(service, caller, decoded(user), name)
            return AuthenticationResult(user=member, auth=both)
        return AuthenticationResult(user=caller, auth=credential)


def decoded(header: str) -> str:
    """Return the id that the header names in percent-encoding, as `jos%C3%A9` names `josé`.

    SECURITY: a header is always decoded, so one header names one id. An id with a percent sign is sent
    with `%25`. Bytes that are not UTF-8 name nobody.
    """
    try:
        return unquote(header, errors="strict")
    except UnicodeDecodeError:
        return ""


async def _member_acted_for(
    service: Service, caller: Caller, user: str, request_id: str
) -> tuple[User, OnBehalf]:
    """Return the member that a service account acts for.

    The check of `act_on_behalf` here gives a clear error. Every later permission check repeats it.
    """
    if caller is None:
        raise SignInRequired
    if not isinstance(caller, User) or caller.service_account_of is None:
        raise OnlyServiceAccountsAct
    organization = caller.service_account_of
    try:
        await service.reading.require(organization, caller.id, "act_on_behalf")
        async with service.reads() as session:
            member = await person_in(session, organization, user)
    except (MissingPermission, UnknownOrganization, NobodyToActFor) as refused:
        account = Attribution(f"user:{caller.id}", Channel.API, request_id)
        await service.refusals.record(account, Refused(code=refused.code), organization)
        raise
    return member, OnBehalf(member.id, caller.id)


async def provide_service(request: Request[Any, Any, Any]) -> Service:
    """Provide `service_for` to the routes."""
    return service_for(request)


async def provide_user(request: Request[Any, Any, Any]) -> User:
    """Return the signed-in user. Raises SignInRequired, and UsersOnly for an operator."""
    if isinstance(request.user, Operator):
        raise UsersOnly
    if not isinstance(request.user, User):
        raise SignInRequired
    return request.user
