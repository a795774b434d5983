"""No caller keeps another one waiting for long: rates, and turns for short requests.

Changes and auditors' questions have turns of their own, which they wait for while they hold nothing
(`ledger/turns.py`, `audit/turns.py`).
"""

import asyncio
import time
from hashlib import blake2b

from cachetools import TTLCache
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from teamaccess.api.callers import Caller, Operator
from teamaccess.errors import TooMany
from teamaccess.fairness import MOST_KEYS, FairSlots, RateLimit, whole_seconds
from teamaccess.ledger import OnBehalf
from teamaccess.models import User
from teamaccess.service import Service

AT_ONCE = 8
"""Short requests of known callers that a process works on at once; the others wait."""
SHARE = 4
"""Of these one tenant's. As few as that, so that every step of another's request is soon its turn."""
ANONYMOUS_AT_ONCE = 2
"""Requests without a valid token, of which there may be any number."""
LONGEST_PAUSE_SECONDS = 1.0
"""A request that is refused for its rate is answered after a pause: whoever repeats it at once costs
little."""
ALWAYS = frozenset({"/healthz"})
"""Whoever watches over the process must hear that it lives, however busy it is."""


class TooManyRequests(TooMany):
    """You have sent more than {limit} requests a second. Try again in {seconds} s."""

    def __init__(self, limit: float, wait: float) -> None:
        self.retry_after = whole_seconds(wait)
        super().__init__(limit=f"{limit:g}", seconds=self.retry_after)


class Rates:
    """How many requests each principal sends, whatever tokens it has."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._limit = RateLimit(per_second, burst)
        self._refused: TTLCache[bytes, float] = TTLCache(MOST_KEYS, LONGEST_PAUSE_SECONDS)

    async def refuse_known(self, token: bytes | None) -> None:
        """Raise TooManyRequests for a token that was refused just now, before anything is looked up."""
        if token is not None and (until := self._refused.get(_digest(token))) is not None:
            await self._refuse(until - time.monotonic())

    async def count(self, principal: str, token: bytes | None) -> None:
        """Count one request of an authenticated principal; raises TooManyRequests."""
        if not (wait := self._limit.excess(principal)):
            return
        if token is not None:
            self._refused[_digest(token)] = time.monotonic() + wait
        await self._refuse(wait)

    async def _refuse(self, wait: float) -> None:
        await asyncio.sleep(min(max(wait, 0.0), LONGEST_PAUSE_SECONDS))
        raise TooManyRequests(self._per_second, max(wait, 0.0))


class RefuseRepeated(ASGIMiddleware):
    """Runs before authentication, which takes a query to the database."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on unless this token has just been refused."""
        await self._rates.refuse_known(_token(scope))
        await next_app(scope, receive, send)


class FairRequests(ASGIMiddleware):
    """Runs after authentication: counts the caller's requests, and has tenants take turns."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._known = FairSlots(AT_ONCE, SHARE)
        self._anonymous = FairSlots(ANONYMOUS_AT_ONCE, ANONYMOUS_AT_ONCE)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on when it is the caller's turn."""
        caller: Caller = scope.get("user")
        if caller is None:
            if scope["path"] in ALWAYS:
                await next_app(scope, receive, send)
                return
            await _in_turn(self._anonymous, None, None, (scope, receive, send), next_app)
            return
        principal = _principal(scope, caller)
        await self._rates.count(principal, _token(scope))
        if not _is_short(scope):
            await next_app(scope, receive, send)
            return
        service: Service = scope["litestar_app"].state.service
        tenant = service.activity.tenant_of(caller.id) if isinstance(caller, User) else None
        party = tenant or principal
        await _in_turn(self._known, party, principal, (scope, receive, send), next_app)


async def _in_turn(
    slots: FairSlots,
    party: str | None,
    caller: str | None,
    request: tuple[Scope, Receive, Send],
    next_app: ASGIApp,
) -> None:
    """Hold a slot until the answer begins: whoever reads it slowly keeps nobody waiting."""
    scope, receive, send = request
    await slots.acquire(party, caller)
    held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            slots.release(party)

    async def answer(message: Message) -> None:
        release()
        await send(message)

    try:
        await next_app(scope, receive, answer)
    finally:
        release()


def _principal(scope: Scope, caller: User | Operator) -> str:
    """Return who sends the requests: of a service account that acts for members the account."""
    if isinstance(caller, Operator):
        return f"operator:{caller.name}"
    shown = scope.get("auth")
    return f"user:{shown.account if isinstance(shown, OnBehalf) else caller.id}"


def _is_short(scope: Scope) -> bool:
    template = str(scope.get("path_template", ""))
    if template == "/v1/check":
        return True
    return scope.get("method") in ("GET", "HEAD") and "/audit/" not in template


def _token(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _digest(token: bytes) -> bytes:
    """Return what stands for a token in memory, where no secret stays."""
    return blake2b(token, digest_size=16).digest()
