"""Keep callers from delaying each other: request rates, and fair slots for requests.

Changes and audit questions release their slot once they are admitted. They have their own queues
(`changes/change_queue.py`, `audit/state/queue.py`), and hold nothing while they wait there.
"""

import asyncio
import time
from functools import partial
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

from cachetools import TTLCache
from litestar import Request
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from teamaccess.api.identity.callers import Caller, Operator
from teamaccess.api.requests.cancellation import while_connected
from teamaccess.api.server.pacing import KnownTokens
from teamaccess.common.errors import TooMany
from teamaccess.common.sharing.fairness import FairSlots
from teamaccess.common.sharing.loop_share import LoopShare, current_share
from teamaccess.common.sharing.rate_limit import MOST_KEYS, RateLimit, whole_seconds
from teamaccess.directory.users.tokens import require_valid_credential
from teamaccess.ledger import OnBehalf, database_time
from teamaccess.service import Service
from teamaccess.storage import User

SLOTS = 8
"""How many requests of authenticated callers a process runs at once. Further ones wait."""
SHARE_ALONE = 4
"""How many slots one tenant gets while no other tenant sends requests."""
SHARE_AMONG_OTHERS = 1
"""How many slots one tenant gets while other tenants send requests too. So at each step, a request waits
for at most one request of each other tenant."""
REST_FACTOR = 3.0
"""A slot rests this many times as long as its request took, if the tenant has more requests waiting and
other tenants send requests too. So one tenant gets at most a quarter of the process's time."""
RECENT_SECONDS = 1.0
"""A tenant counts as sending requests if it sent one within this time."""
ANONYMOUS_SLOTS = 2
"""How many requests without a valid token a process runs at once."""
LONGEST_PAUSE_SECONDS = 1.0
"""The longest pause before a request is refused for its rate. The pause slows down clients that repeat a
refused request at once."""
NEVER_WAITS = frozenset({"/healthz"})
"""A monitor must learn that the process lives, however busy it is."""
PROBES = frozenset({"/readyz", "/metrics"})
"""These have their own slots, because a process that does not answer them is taken out of service."""
RECHECK_AFTER_SECONDS = 0.05
"""If a request has waited longer than this for a slot, its credential is checked again."""


class TooManyRequests(TooMany):
    """The caller exceeds the requests a second that the settings allow."""

    message = "You have exceeded {limit:request} per second. Try again in {seconds} s."

    def __init__(self, limit: float, wait: float) -> None:
        self.retry_after = whole_seconds(wait)
        super().__init__(limit=f"{limit:g}", seconds=self.retry_after)


class Rates:
    """Limits how many requests a second each principal sends, over all its tokens."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._limit = RateLimit(per_second, burst)
        self._refused: TTLCache[bytes, float] = TTLCache(MOST_KEYS, LONGEST_PAUSE_SECONDS)

    async def refuse_known(self, token: bytes | None) -> None:
        """Raise TooManyRequests for a token that was refused just now, without any query."""
        if token is not None and (until := self._refused.get(_digest(token))) is not None:
            await self._refuse(until - time.monotonic())

    async def count(self, principal: str, token: bytes | None, cost: int = 1) -> None:
        """Count `cost` requests of an authenticated principal. Raises TooManyRequests."""
        if not (wait := self._limit.retry_after(principal, cost)):
            return
        if token is not None:
            self._refused[_digest(token)] = time.monotonic() + wait
        await self._refuse(wait)

    async def _refuse(self, wait: float) -> None:
        await asyncio.sleep(min(max(wait, 0.0), LONGEST_PAUSE_SECONDS))
        raise TooManyRequests(self._per_second, max(wait, 0.0))


class RefuseRepeated(ASGIMiddleware):
    """Refuses tokens over their rate before authentication, which costs a query to PostgreSQL."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Continue unless this token has just been refused."""
        await self._rates.refuse_known(_token(scope))
        await next_app(scope, receive, send)


class FairRequests(ASGIMiddleware):
    """Counts requests after authentication, and gives tenants slots in turn."""

    def __init__(self, rates: Rates, tokens: KnownTokens) -> None:
        self._rates, self._tokens = rates, tokens
        self._authenticated = FairSlots(SLOTS, SHARE_ALONE)
        self._last_requests: dict[str, float] = {}
        """The two tenants (or callers without a tenant) that sent the last requests, and when."""
        self._shares: WeakValueDictionary[str, LoopShare] = WeakValueDictionary()
        self._anonymous = FairSlots(ANONYMOUS_SLOTS, ANONYMOUS_SLOTS)
        self._probes = FairSlots(ANONYMOUS_SLOTS, ANONYMOUS_SLOTS)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Continue when the caller has a slot."""
        caller: Caller = scope.get("user")
        if caller is None:
            if scope["path"] in NEVER_WAITS:
                await next_app(scope, receive, send)
                return
            slots = self._probes if scope["path"] in PROBES else self._anonymous
            async with _Slot(slots, None, None, scope) as slot:
                await next_app(scope, receive, slot.release_on_answer(send))
            return
        service: Service = scope["litestar_app"].state.service
        principal, token = _principal(scope, caller), _token(scope)
        if token is not None:
            self._tokens.add(token)
        scope["state"]["rates"] = self._rates
        await self._rates.count(principal, token)
        tenant = service.activity.tenant_of(caller.id) if isinstance(caller, User) else None
        began, party = time.monotonic(), tenant or principal
        alone = self._is_alone(party, began)
        share = self._shares.setdefault(party, LoopShare(partial(self._others_ask, party)))
        current_share.set(share)
        self._authenticated.share = SHARE_ALONE if alone else SHARE_AMONG_OTHERS
        if _is_large(scope):
            next_app = while_connected(next_app)
        rest = 0.0 if alone else REST_FACTOR
        async with _Slot(self._authenticated, party, principal, scope, rest) as slot:
            if time.monotonic() - began > RECHECK_AFTER_SECONDS:
                # SECURITY: the token may have been revoked while the request waited
                async with service.reads() as session:
                    await require_valid_credential(
                        session, scope["state"].get("credential"), await database_time(session)
                    )
            await next_app(scope, receive, slot.release_on_answer(send))

    def _is_alone(self, party: str, now: float) -> bool:
        """Record the party's request. Return whether no other party has sent one recently."""
        others = {name: at for name, at in self._last_requests.items() if name != party}
        newest = max(others, key=others.__getitem__, default=None)
        self._last_requests = {party: now}
        if newest is not None:
            self._last_requests[newest] = others[newest]
        return not self._others_ask(party)

    def _others_ask(self, party: str) -> bool:
        """Return whether another party has sent a request recently."""
        now = time.monotonic()
        return any(
            name != party and now - at <= RECENT_SECONDS for name, at in self._last_requests.items()
        )


class _Slot:
    """A slot that is held until the answer begins, so a slow reader does not hold it."""

    def __init__(
        self,
        slots: FairSlots,
        party: str | None,
        caller: str | None,
        scope: Scope,
        rest: float = 0.0,
    ) -> None:
        self._slots, self._party, self._caller = slots, party, caller
        self._rest, self._since = rest, 0.0
        self._held = False
        scope["state"]["slot"] = self

    async def __aenter__(self) -> "_Slot":
        await self._slots.acquire(self._party, self._caller)
        self._held, self._since = True, time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot to the next request. Calling it again does nothing."""
        if not self._held:
            return
        self._held = False
        if self._rest and self._slots.has_backlog(self._party):
            rest = self._rest * (time.monotonic() - self._since)
            asyncio.get_running_loop().call_later(rest, self._slots.release, self._party)
        else:
            self._slots.release(self._party)

    def release_on_answer(self, send: Send) -> Send:
        """Return a `send` that releases the slot before the first message."""

        async def answer(message: Message) -> None:
            self.release()
            await send(message)

        return answer


def release_slot(request: Request[Any, Any, Any]) -> None:
    """Release the request's slot before the request waits for something else.

    SECURITY: otherwise a caller who can make a request wait would hold a slot that others need.
    """
    slot: _Slot | None = request.scope["state"].get("slot")
    if slot is not None:
        slot.release()


async def count_extra(request: Request[Any, Any, Any], cost: int) -> None:
    """Count `cost` further requests for a request that costs as much. Raises TooManyRequests."""
    rates: Rates | None = request.scope["state"].get("rates")
    if rates is not None and cost > 0:
        await rates.count(_principal(request.scope, request.user), _token(request.scope), cost)


def _principal(scope: Scope, caller: User | Operator) -> str:
    """Return the principal whose requests are counted.

    If a service account acts for a member, it is the service account.
    """
    if isinstance(caller, Operator):
        return f"operator:{caller.name}"
    credential = scope.get("auth")
    return f"user:{credential.account if isinstance(credential, OnBehalf) else caller.id}"


def _is_large(scope: Scope) -> bool:
    """Return whether the request is an audit question or a plan."""
    return "/audit/" in str(scope.get("path_template", ""))


def _token(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _digest(token: bytes) -> bytes:
    """Return a hash of a token, because secrets must not stay in memory."""
    return blake2b(token, digest_size=16).digest()
