"""The one place where a request commits.

A route that changes access is a function of an open change. This module runs the steps around it:

1. Only a member may wait for the organization's lock.
2. The organization is locked, and its pending changes are delivered to SpiceDB.
3. The caller's credential is checked again, because the request has waited.
4. The function runs.
5. The credential is checked once more, because the function may have taken long.
6. The change is committed and enforced.
7. The answer names the ledger's position and SpiceDB's ZedToken.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

from litestar import Request, Response

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.api.identity.callers import (
    attribution,
    credential_of,
    recheck_credential,
    service_for,
)
from teamaccess.api.requests.idempotency import IdempotencyKeyInUse, Replay, begin_once, finish_once
from teamaccess.api.requests.parameters import PathId, SignedInUser
from teamaccess.api.requests.throttling import release_slot
from teamaccess.changes import Change, OrganizationChange, Receipt
from teamaccess.directory.users.find import resolve_member
from teamaccess.ledger import UnknownOrganization
from teamaccess.service import Service
from teamaccess.storage import ApiToken, OrganizationId, User, is_organization_id

Handler = Callable[..., Awaitable[Any]]
HTTP_ACCEPTED = 202
KEY_PATIENCE_SECONDS = 2.0
"""How long a request waits for another one with its Idempotency-Key."""
KEY_PAUSE_SECONDS = 0.05


def revokes(handler: Handler) -> Handler:
    """Make a route of a function that only takes access away. It works in a stopped organization too."""
    return changes(handler, even_if_stopped=True)


def changes(handler: Handler, *, even_if_stopped: bool = False) -> Handler:
    """Make a route of a function that takes a `change`.

    If the function takes an OrganizationChange, the change is of the organization in the path, and its
    actor is the signed-in user. The route then has the parameters `organization` and `actor`.
    """
    signature = inspect.signature(handler, eval_str=True)
    takes_request = "request" in signature.parameters
    of_organization = signature.parameters["change"].annotation is OrganizationChange

    @wraps(handler)
    async def route(request: Request[Any, Any, Any], **arguments: Any) -> Response[Any]:
        service = service_for(request)
        if takes_request:
            arguments["request"] = request
        if of_organization:
            del arguments["organization"], arguments["actor"]
        patience = time.monotonic() + KEY_PATIENCE_SECONDS
        while True:
            try:
                opening = open_change(service, request, even_if_stopped=even_if_stopped)
                async with opening as change:
                    return await run_in_change(handler, request, service, change, arguments)
            except IdempotencyKeyInUse:
                if time.monotonic() > patience:
                    raise
            await asyncio.sleep(KEY_PAUSE_SECONDS)  # the request holds no lock and no turn here

    parameters = [_parameter("request", Request)]
    if of_organization:
        parameters += [_parameter("organization", PathId), _parameter("actor", SignedInUser)]
    parameters += [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name not in ("change", "request")
    ]
    route.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    route.__annotations__ = {p.name: p.annotation for p in parameters} | {
        "return": signature.return_annotation
    }
    del route.__wrapped__
    return route


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


@asynccontextmanager
async def open_change(
    service: Service, request: Request[Any, Any, Any], *, even_if_stopped: bool
) -> AsyncIterator[Change]:
    """Open a change. If the path names an organization, lock it, if the caller may wait for the lock."""
    attributed = attribution(request)
    organization = named_in_path(request)
    if organization is None:
        release_slot(request)
        async with service.ledger.change(attributed, even_if_stopped=even_if_stopped) as change:
            yield change
        return
    if isinstance(request.user, User):
        await service.admission.admit(service.reading, organization, request.user.id)
    release_slot(request)
    async with service.ledger.change(
        attributed, organization, even_if_stopped=even_if_stopped
    ) as change:
        yield change


def named_in_path(request: Request[Any, Any, Any]) -> OrganizationId | None:
    """Return the organization that the path names. Raises UnknownOrganization if it is not an id."""
    organization = request.path_params.get("organization")
    if organization is None:
        return None
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    return OrganizationId(organization)


async def run_in_change(
    handler: Handler,
    request: Request[Any, Any, Any],
    service: Service,
    change: Change,
    arguments: dict[str, Any],
) -> Response[Any]:
    """Run the function in its open change, commit, and return the answer."""
    await recheck_credential(request, change)
    claimed_key = None
    if request.method == "POST":  # other methods do the same thing when they are sent twice
        try:
            claimed_key = await begin_once(change, request)
        except Replay as replay:
            await refuse_outsiders(change, request)
            return answer(replay.body, await replay.receipts(service), replay.status_code)
    if isinstance(change, OrganizationChange) and "user" in arguments:
        named = arguments["user"]
        arguments["user"] = await resolve_member(change.session, change.organization, named)
    body = await handler(change=change, **arguments)
    # a service account's token is revoked only under this lock, so one check is enough
    if not isinstance(credential_of(request), ApiToken):
        await recheck_credential(request, change)
    status = request.route_handler.status_code
    if claimed_key is not None:
        await finish_once(change, claimed_key, status, body)
    receipts = await service.ledger.commit(change)
    if isinstance(request.user, User):
        for receipt in receipts:
            await service.activity.seen(receipt.organization, request.user.id)
    return answer(body, receipts, status)


async def refuse_outsiders(change: Change, request: Request[Any, Any, Any]) -> None:
    """Raise UnknownOrganization if the caller is no longer a member.

    The caller was one when the request ran first; now they only ask for its answer.
    """
    if (organization := named_in_path(request)) is not None:
        held = await change.permitted(organization, request.user.id, [MEMBERSHIP])
        require_held(held, organization, MEMBERSHIP)


def answer(body: Any, receipts: list[Receipt], status: int) -> Response[Any]:
    """Return the answer to a committed change. It is 202 while SpiceDB has not confirmed the change."""
    headers = {}
    changed = [receipt for receipt in receipts if receipt.position > 0]
    if changed:
        headers["Teamaccess-Change"] = ", ".join(f"{r.organization}:{r.position}" for r in changed)
    if tokens := [receipt.zed_token for receipt in changed if receipt.zed_token is not None]:
        headers["Zed-Token"] = tokens[-1]
    for receipt in changed:
        if receipt.pending:
            where = f"/v1/organizations/{receipt.organization}/changes/{receipt.position}"
            headers["Location"] = where
            return Response(body, status_code=HTTP_ACCEPTED, headers=headers)
    return Response(body, status_code=status, headers=headers)
