"""The one place where a request commits.

A route that changes who may do what is a function of an open change. Around it:

1. The caller must be a member to wait for the organization's lock at all.
2. The organization is locked, and what is pending there is delivered.
3. The caller's credential is judged again, the function runs, and the credential is judged once more.
4. Everything is committed and delivered. The answer says how far the ledger and SpiceDB have come.
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
from teamaccess.api.identity.callers import attribution, judge_again, service_for, shown_by
from teamaccess.api.requests.idempotency import IdempotencyKeyInUse, Replay, begin_once, finish_once
from teamaccess.api.requests.parameters import InPath, SignedIn
from teamaccess.api.requests.throttling import give_up_slot
from teamaccess.changes import Change, OrganizationChange, Receipt
from teamaccess.ledger import UnknownOrganization
from teamaccess.service import Service
from teamaccess.storage import ApiToken, OrganizationId, User, is_organization_id

Handler = Callable[..., Awaitable[Any]]
HTTP_ACCEPTED = 202
KEY_PATIENCE_SECONDS = 2.0
"""How long a request waits for another one with its Idempotency-Key."""
KEY_PAUSE_SECONDS = 0.05


def revokes(handler: Handler) -> Handler:
    """Make a route of a function that only takes away: it works where a ledger is stopped, too."""
    return changes(handler, even_if_stopped=True)


def changes(handler: Handler, *, even_if_stopped: bool = False) -> Handler:
    """Make a route of a function that takes a `change`.

    A function of an OrganizationChange changes the organization of the path, as the signed-in user. Both
    are parameters of the route, and the function gets them with the change.
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
                    return await run_change(handler, request, service, change, arguments)
            except IdempotencyKeyInUse:
                if time.monotonic() > patience:
                    raise
            await asyncio.sleep(KEY_PAUSE_SECONDS)  # holding no lock and no turn

    parameters = [_parameter("request", Request)]
    if of_organization:
        parameters += [_parameter("organization", InPath), _parameter("actor", SignedIn)]
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
    """Open the change of the organization in the path, if there is one, for a caller who may wait."""
    attributed = attribution(request)
    organization = named_in_path(request)
    if organization is None:
        give_up_slot(request)
        async with service.ledger.change(attributed, even_if_stopped=even_if_stopped) as change:
            yield change
        return
    if isinstance(request.user, User):
        await service.admission.admit(service.reading, organization, request.user.id)
    give_up_slot(request)
    async with service.ledger.change(
        attributed, organization, even_if_stopped=even_if_stopped
    ) as change:
        yield change


def named_in_path(request: Request[Any, Any, Any]) -> OrganizationId | None:
    """Return the organization of the path; raises UnknownOrganization if it cannot be an id."""
    organization = request.path_params.get("organization")
    if organization is None:
        return None
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    return OrganizationId(organization)


async def run_change(
    handler: Handler,
    request: Request[Any, Any, Any],
    service: Service,
    change: Change,
    arguments: dict[str, Any],
) -> Response[Any]:
    """Run the function in its open change, commit, and answer."""
    await judge_again(request, change)
    once = None
    if request.method == "POST":  # other methods do the same thing when they are sent twice
        try:
            once = await begin_once(change, request)
        except Replay as replay:
            await refuse_outsiders(change, request)
            return answer(replay.body, await replay.receipts(service), replay.status_code)
    body = await handler(change=change, **arguments)
    # a service account's token is revoked under this lock, so judging it once is enough
    if not isinstance(shown_by(request), ApiToken):
        await judge_again(request, change)
    status = request.route_handler.status_code
    if once is not None:
        await finish_once(change, once, status, body)
    receipts = await service.ledger.commit(change)
    if isinstance(request.user, User):
        for receipt in receipts:
            await service.activity.seen(receipt.organization, request.user.id)
    return answer(body, receipts, status)


async def refuse_outsiders(change: Change, request: Request[Any, Any, Any]) -> None:
    """Raise UnknownOrganization for a caller who was a member at the first request, and is no longer."""
    if (organization := named_in_path(request)) is not None:
        held = await change.permitted(organization, request.user.id, [MEMBERSHIP])
        require_held(held, organization, MEMBERSHIP)


def answer(body: Any, receipts: list[Receipt], status: int) -> Response[Any]:
    """Return the answer to a committed change: 202 while SpiceDB has not confirmed it."""
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
