"""The caller of a request: who it is, what they signed in with, and whether that is still valid."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from litestar.connection import Request
from litestar.types import Scope
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.directory.service_accounts.sign_in import InvalidApiToken
from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.tokens import Audience, Claims, InvalidToken
from teamaccess.ledger import Attribution, OnBehalf
from teamaccess.service import Service
from teamaccess.storage import ApiToken, Channel, User, UserId


@dataclass(frozen=True)
class Operator:
    """Whoever runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A person or a service account, an operator, or nobody known."""

Shown = Claims | Login | ApiToken | None
"""What a token of ours, another login's or a service account's says."""


def request_id(scope: Scope) -> str:
    """Return the id under which the ledger, the events and the answer know this request."""
    return str(scope["state"].setdefault("request_id", secrets.token_hex(12)))


async def judge_again(request: Request[Any, Any, Any], change: Change) -> None:
    """Judge the caller's credential again, in the change that it is used for.

    SECURITY: the request has waited for its turn and for the organization's lock since the credential
    was judged first. A token that was revoked meanwhile, a sign-out or a removal must not be outlived.
    Raises InvalidToken and InvalidApiToken.
    """
    await refuse_ended(change.session, shown_by(request), change.now)


def shown_by(request: Request[Any, Any, Any]) -> Shown:
    """Return what the caller signed in with; of a service account that acts for others its own token."""
    shown: Shown = request.scope["state"].get("shown")
    return shown


def attribution(request: Request[Any, Any, Any]) -> Attribution:
    """Return who asks, for the ledger and the events."""
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
    """Return the process's connections; where a service account acts for a member, for both of them."""
    service: Service = request.app.state.service
    if isinstance(request.auth, OnBehalf):
        return replace(service, reading=service.reading.on_behalf(request.auth))
    return service


async def refuse_ended(session: AsyncSession, shown: Shown, now: datetime) -> None:
    """Raise InvalidToken or InvalidApiToken if what somebody showed is not valid any more.

    `session` must see what is committed at this moment. Nobody's row is locked: a tenant's change must
    not wait for a row that others share.
    """
    match shown:
        case ApiToken():
            query = select(ApiToken).where(
                ApiToken.organization_id == shown.organization_id, ApiToken.id == shown.id
            )
            fresh = query.execution_options(populate_existing=True)
            token = (await session.scalars(fresh)).one_or_none()
            if token is None or not token.valid(now):
                raise InvalidApiToken(cause="it has ended")
        case Claims() | Login():
            if shown.expires_at <= now:
                raise InvalidToken(cause="it has expired")
            if isinstance(shown, Claims) and shown.audience is Audience.OPERATOR:
                return
            user = await _shown_by_whom(session, shown)
            if user is None:
                raise InvalidToken(cause="its user does not exist")
            shown.refuse_if_ended(user)


async def _shown_by_whom(session: AsyncSession, shown: Claims | Login) -> User | None:
    if isinstance(shown, Claims):
        mine = User.id == UserId(shown.subject)
    else:
        mine = and_(User.issuer == shown.issuer, User.subject == shown.subject)
    fresh = select(User).where(mine).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).one_or_none()
