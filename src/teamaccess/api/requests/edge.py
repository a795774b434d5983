"""The one place where a request commits.

A route that changes access is a function of an open change. This module runs the steps around it:

1. Only a member may wait for the organization's lock.
2. The organization is locked, and its pending changes are delivered to SpiceDB.
3. The caller's credential is checked again, because the request has waited.
4. The function runs.
5. The credential is checked once more, because the function may have taken long.
6. The change is committed and enforced.
7. The answer names the ledger's position and SpiceDB's ZedToken.

A caller replaces only the state that they have read: this is also the one place that compares ETags with
`If-Match`. A route that takes it first calls its use case, and then `refuse_changed` with the ETag of the
state before.

SECURITY: the order matters. An actor who may not make the change must get the use case's refusal, and
must not learn from a 412 whether their ETag is current. The change is not committed yet, so the error
rolls it back.
"""

import asyncio
import hashlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import wraps
from typing import Annotated, Any

from litestar import Request, Response
from litestar.params import HeaderParameter

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.access.own_access import keeping_own_ends
from teamaccess.api.identity.callers import attribution, service_for
from teamaccess.api.requests.idempotency import IdempotencyKeyInUse, Replay, begin_once, finish_once
from teamaccess.api.requests.parameters import PathId, SignedInUser
from teamaccess.api.requests.throttling import release_slot
from teamaccess.changes import Change, OrganizationChange, Receipt
from teamaccess.common.errors import PreconditionFailed
from teamaccess.directory.users.find import resolve_member
from teamaccess.directory.users.tokens import Credential, require_valid_credential
from teamaccess.ledger import UnknownOrganization
from teamaccess.service import Service
from teamaccess.storage import ApiToken, OrganizationId, RoleId, User, is_organization_id

Handler = Callable[..., Awaitable[Any]]
Repeated = Callable[[Change, Any], Awaitable[Any]]
"""Returns the answer to a repeated request, from the stored one."""
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]
HTTP_ACCEPTED = 202
KEY_PATIENCE_SECONDS = 2.0
"""How long a request waits for another one with its Idempotency-Key."""
KEY_PAUSE_SECONDS = 0.05


def revokes(handler: Handler) -> Handler:
    """Make a route of a function that only takes access away. It works in a stopped organization too."""
    return changes(handler, even_if_stopped=True)


def changes(
    handler: Handler, *, even_if_stopped: bool = False, repeated: Repeated | None = None
) -> Handler:
    """Make a route of a function that takes a `change`.

    If the function takes an OrganizationChange, the change is of the organization in the path, and its
    actor is the signed-in user. The route then has the parameters `organization` and `actor`. A
    request that is sent again with its `Idempotency-Key` gets the stored answer, or what `repeated`
    returns for it.
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
                    return await run_in_change(
                        handler, request, service, change, arguments, repeated
                    )
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
    """Open a change, and lock the organization in the path if the caller may wait for the lock."""
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
    repeated: Repeated | None = None,
) -> Response[Any]:
    """Run the function in its open change, commit, and return the answer."""
    await recheck_credential(request, change)
    claimed_key = None
    if request.method == "POST":  # other methods do the same thing when they are sent twice
        try:
            claimed_key = await begin_once(change, request)
        except Replay as replay:
            await refuse_outsiders(change, request)
            body = replay.body if repeated is None else await repeated(change, replay.body)
            return answer(body, await replay.receipts(service), replay.status_code)
    if isinstance(change, OrganizationChange) and "user" in arguments:
        named = arguments["user"]
        arguments["user"] = await resolve_member(change.session, change.organization, named)
    if isinstance(change, OrganizationChange):
        async with keeping_own_ends(change):
            body = await handler(change=change, **arguments)
    else:
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


def etag(state: object) -> str:
    """Return the ETag of a state. It is a hash of the state's `repr`."""
    return f'"{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"'


def etag_of_roles(ends: Mapping[RoleId, datetime | None]) -> str:
    """Return the ETag of the roles of a member or a team, with their expiries."""
    return etag(sorted(f"{role} {end}" for role, end in ends.items()))


def refuse_changed(
    if_match: str | None, before: str, refusal: type[PreconditionFailed], **facts: str
) -> None:
    """Raise `refusal` if there is a condition and the ETag `before` does not meet it."""
    if not matches(if_match, before):
        raise refusal(**facts)


def matches(if_match: str | None, tag: str) -> bool:
    """Return whether `tag` meets the condition. No condition and `*` are always met."""
    return if_match is None or bool({"*", tag} & {each.strip() for each in if_match.split(",")})
