"""Find out who sends a request, and for which member a service account acts."""

import secrets
from dataclasses import replace
from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.middleware.authentication import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import Scope

from teamaccess.access.authorize import MissingPermission
from teamaccess.api.identity.callers import Caller, Credential, Operator
from teamaccess.api.identity.credentials import authenticate_token, require_valid_credential
from teamaccess.changes import Change
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
            member, both = await _member_acted_for(service, caller, user, name)
            return AuthenticationResult(user=member, auth=both)
        return AuthenticationResult(user=caller, auth=credential)


async def _member_acted_for(
    service: Service, caller: Caller, user: str, request_id: str
) -> tuple[User, OnBehalf]:
    """Return the member for whom a service account acts.

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
        await service.refusals.record(account, "refused", organization, code=refused.code)
        raise
    return member, OnBehalf(member.id, caller.id)


def request_id(scope: Scope) -> str:
    """Return the id of this request in the ledger, the events and the answer."""
    return str(scope["state"].setdefault("request_id", secrets.token_hex(12)))


async def recheck_credential(request: Request[Any, Any, Any], change: Change) -> None:
    """Check the caller's credential again, inside the change that it authorizes.

    SECURITY: since the first check, the request has waited for its turn and for the organization's
    lock. A revocation, a sign-out or a removal in that time must stop the change. Raises InvalidToken
    and InvalidApiToken.
    """
    await require_valid_credential(change.session, credential_of(request), change.now)


def credential_of(request: Request[Any, Any, Any]) -> Credential:
    """Return the caller's credential: for a service account that acts for a member, its own token."""
    credential: Credential = request.scope["state"].get("credential")
    return credential


def attribution(request: Request[Any, Any, Any]) -> Attribution:
    """Return the caller as the ledger and the events record it."""
    name = request_id(request.scope)
    match request.user, request.auth:
        case User(), OnBehalf() as both:
            return Attribution(str(both), Channel.API, name, both)
        case User(id=id), _:
            return Attribution(f"user:{id}", Channel.API, name)
        case Operator(name=operator), _:
            return Attribution(f"operator:{operator}", Channel.OPERATOR, name)
        case _:
            return Attribution("anonymous", Channel.API, name)


def service_for(request: Request[Any, Any, Any]) -> Service:
    """Return the process's connections.

    If a service account acts for a member, permission checks then require both to have the permission.
    """
    service: Service = request.app.state.service
    if isinstance(request.auth, OnBehalf):
        return replace(service, reading=service.reading.on_behalf(request.auth))
    return service


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
