"""The caller of a request: who it is, and how the ledger names them."""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from litestar.connection import Request
from litestar.types import Scope

from teamaccess.ledger import Attribution, OnBehalf
from teamaccess.service import Service
from teamaccess.storage import ApiToken, Channel, User


@dataclass(frozen=True)
class Operator:
    """A person who runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A user (a person or a service account), an operator, or None for an anonymous caller."""


def request_id(scope: Scope) -> str:
    """Return the id of this request in the ledger, the events and the answer."""
    return str(scope["state"].setdefault("request_id", secrets.token_hex(12)))


def attribution(request: Request[Any, Any, Any]) -> Attribution:
    """Return the caller as the ledger and the events record it."""
    name = request_id(request.scope)
    credential = request.scope["state"].get("credential")
    token = credential.id if isinstance(credential, ApiToken) else None
    match request.user, request.auth:
        case User(), OnBehalf() as both:
            return Attribution(str(both), Channel.API, name, both, token)
        case User(id=id), _:
            return Attribution(f"user:{id}", Channel.API, name, token=token)
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
