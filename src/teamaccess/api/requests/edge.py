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
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from litestar import Request, Response

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.api.identity.authentication import (
    attribution,
    credential_of,
    recheck_credential,
    service_for,
)
from teamaccess.api.requests.idempotency import IdempotencyKeyInUse, Replay, begin_once, finish_once
from teamaccess.changes import Change, Receipt
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

    If the path names an organization, the change locks it.
    """
    signature = inspect.signature(handler, eval_str=True)
    takes_request = "request" in signature.parameters

    @wraps(handler)
    async def route(request: Request[Any, Any, Any], **arguments: Any) -> Response[Any]:
        service = service_for(request)
        if takes_request:
            arguments["request"] = request
        organization = named_in_path(request)
        locked = [organization] if organization is not None else []
        if organization is not None and isinstance(request.user, User):
            await service.admission.admit(service.reading, organization, request.user.id)
        patience = time.monotonic() + KEY_PATIENCE_SECONDS
        while True:
            try:
                async with service.ledger.change(
                    attribution(request), *locked, even_if_stopped=even_if_stopped
                ) as change:
                    return await run(handler, request, service, change, arguments)
            except IdempotencyKeyInUse:
                if time.monotonic() > patience:
                    raise
            await asyncio.sleep(KEY_PAUSE_SECONDS)  # the request holds no lock and no turn here

    request_parameter = inspect.Parameter(
        "request", inspect.Parameter.KEYWORD_ONLY, annotation=Request
    )
    parameters = [request_parameter] + [
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


def named_in_path(request: Request[Any, Any, Any]) -> OrganizationId | None:
    """Return the organization that the path names. Raises UnknownOrganization if it is not an id."""
    organization = request.path_params.get("organization")
    if organization is None:
        return None
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    return OrganizationId(organization)


async def run(
    handler: Handler,
    request: Request[Any, Any, Any],
    service: Service,
    change: Change,
    arguments: dict[str, Any],
) -> Response[Any]:
    """Run the function in its open change, commit, and return the answer."""
    await recheck_credential(request, change)
    try:
        once = await begin_once(change, request)
    except Replay as replay:
        await refuse_outsiders(change, request)
        return answer(replay.body, await replay.receipts(service), replay.status_code)
    body = await handler(change=change, **arguments)
    # an API token ends only under this lock or in this change, so it needs no second check
    if not isinstance(credential_of(request), ApiToken):
        await recheck_credential(request, change)
    status = request.route_handler.status_code
    await finish_once(change, once, status, body)
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
    recorded = [receipt for receipt in receipts if receipt.position > 0]
    if recorded:
        headers["Teamaccess-Change"] = ", ".join(f"{r.organization}:{r.position}" for r in recorded)
    if tokens := [receipt.zed_token for receipt in recorded if receipt.zed_token is not None]:
        headers["Zed-Token"] = tokens[-1]
    for receipt in recorded:
        if receipt.pending:
            where = f"/v1/organizations/{receipt.organization}/changes/{receipt.position}"
            headers["Location"] = where
            return Response(body, status_code=HTTP_ACCEPTED, headers=headers)
    return Response(body, status_code=status, headers=headers)
