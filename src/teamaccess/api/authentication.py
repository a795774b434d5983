"""Who is asking."""

import secrets
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.middleware.authentication import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import Scope

from teamaccess.errors import Forbidden, Unauthenticated
from teamaccess.ledger import Attribution
from teamaccess.models import Channel, User, UserId
from teamaccess.service import Service
from teamaccess.users.find import user_now
from teamaccess.users.tokens import Audience, Claims, InvalidToken, verify

SCHEME = "bearer"


class SignInRequired(Unauthenticated):
    """This needs a signed-in user: send an access token as `Authorization: Bearer <token>`."""


class UsersOnly(Forbidden):
    """This takes a user, and you are an operator. An operator's token creates organizations and lists them (POST and GET /v1/organizations); what else operators do, they do by the command `teamaccess`."""  # noqa: E501 - a sentence is one line


@dataclass(frozen=True)
class Operator:
    """Whoever runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None


class Authentication(AbstractAuthenticationMiddleware):
    """Reads the bearer token. Nobody is fine here; the routes say whom they need."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Return the user or operator of the token, None without one; raises InvalidToken."""
        header = connection.headers.get("Authorization")
        if header is None:
            return AuthenticationResult(user=None, auth=None)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != SCHEME:
            raise InvalidToken(cause="the Authorization header is not a bearer token")
        service: Service = connection.app.state.service
        claims = verify(service.keys, token.strip())
        return AuthenticationResult(user=await _caller(service, claims, connection), auth=claims)


async def _caller(
    service: Service, claims: Claims, connection: ASGIConnection[Any, Any, Any, Any]
) -> User | Operator:
    if claims.audience is Audience.OPERATOR:
        return Operator(claims.subject)
    async with service.reads() as session:
        user = await user_now(session, UserId(claims.subject))
    try:
        if user is None:
            raise InvalidToken(cause="its user does not exist")
        claims.refuse_if_ended(user)
    except InvalidToken as refused:
        actor = Attribution(f"user:{claims.subject}", Channel.API, request_id(connection.scope))
        await service.refusals.record(actor, "sign_in_refused", cause=refused.facts["cause"])
        raise
    return user


def request_id(scope: Scope) -> str:
    """Return the id under which the ledger, the events and the answer know this request."""
    return str(scope["state"].setdefault("request_id", secrets.token_hex(12)))


def attribution(request: Request[Any, Any, Any]) -> Attribution:
    """Return who asks, for the ledger and the events."""
    name = request_id(request.scope)
    match request.user:
        case User(id=id):
            return Attribution(f"user:{id}", Channel.API, name)
        case Operator(name=operator):
            return Attribution(f"operator:{operator}", Channel.OPERATOR, name)
        case _:
            return Attribution("anonymous", Channel.API, name)


async def provide_user(request: Request[Any, Any, Any]) -> User:
    """Return the signed-in user; raises SignInRequired, and UsersOnly for an operator."""
    if isinstance(request.user, Operator):
        raise UsersOnly
    if not isinstance(request.user, User):
        raise SignInRequired
    return request.user
