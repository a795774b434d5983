"""The caller of a request: who it is, their credential, and whether that is still valid."""

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
from teamaccess.directory.users.issued import refuse_unless_current
from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.tokens import Audience, Claims, InvalidToken
from teamaccess.ledger import Attribution, OnBehalf
from teamaccess.service import Service
from teamaccess.storage import ApiToken, Channel, User, UserId


@dataclass(frozen=True)
class Operator:
    """A person who runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A user (a person or a service account), an operator, or None for an anonymous caller."""

Credential = Claims | Login | ApiToken | None
"""A verified token: one of ours, one of the OpenID Connect provider, or a service account's."""


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


async def require_valid_credential(
    session: AsyncSession, credential: Credential, now: datetime
) -> None:
    """Raise InvalidToken or InvalidApiToken if the credential is no longer valid.

    `session` must see what is committed at this moment. No row is locked, because one tenant's change
    must not wait for a row that other tenants share.
    """
    match credential:
        case ApiToken():
            query = select(ApiToken).where(
                ApiToken.organization_id == credential.organization_id, ApiToken.id == credential.id
            )
            fresh = query.execution_options(populate_existing=True)
            token = (await session.scalars(fresh)).one_or_none()
            if token is None or not token.valid(now):
                raise InvalidApiToken(cause="it has ended")
        case Claims() | Login():
            refuse_unless_current(credential, now)
            if isinstance(credential, Claims) and credential.audience is Audience.OPERATOR:
                return
            user = await _owner_of(session, credential)
            if user is None:
                raise InvalidToken(cause="its user does not exist")
            credential.refuse_if_ended(user)


async def _owner_of(session: AsyncSession, credential: Claims | Login) -> User | None:
    if isinstance(credential, Claims):
        is_owner = User.id == UserId(credential.subject)
    else:
        is_owner = and_(User.issuer == credential.issuer, User.subject == credential.subject)
    fresh = select(User).where(is_owner).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).one_or_none()
