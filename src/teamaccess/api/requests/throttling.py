"""No caller keeps another one waiting for long: rates, and turns for requests.

Changes and auditors' questions give their slot up when they are admitted. They have turns of their own,
which they wait for while they hold nothing (`ledger/turns.py`, `audit/turns.py`).
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

from teamaccess.api.identity.callers import Caller, Operator, refuse_ended
from teamaccess.api.requests.connected import while_connected
from teamaccess.api.server.pacing import KnownTokens
from teamaccess.common.errors import TooMany
from teamaccess.common.fairness import MOST_KEYS, FairSlots, RateLimit, whole_seconds
from teamaccess.common.loop_share import LoopShare, current_share
from teamaccess.ledger import OnBehalf, database_time
from teamaccess.service import Service
from teamaccess.storage import User

AT_ONCE = 8
"""Requests of known callers that a process works on at once; the others wait."""
SHARE_ALONE = 4
"""Of these one tenant's while no other one asks anything."""
SHARE_AMONG_OTHERS = 1
"""Of these one tenant's otherwise: at every step another's request waits for one of them at most."""
REST = 3.0
"""How many times as long as a request took its slot then rests, if its tenant has more waiting and others
ask, too. So one tenant has a quarter of the process's time at most, however many requests it sends."""
LATELY_SECONDS = 1.0
"""How long ago others have asked who count as asking."""
ANONYMOUS_AT_ONCE = 2
"""Requests without a valid token, of which there may be any number."""
LONGEST_PAUSE_SECONDS = 1.0
"""A request that is refused for its rate is answered after a pause: whoever repeats it at once costs
little."""
ALWAYS = frozenset({"/healthz"})
"""Whoever watches over the process must hear that it lives, however busy it is."""
PROBES = frozenset({"/readyz", "/metrics"})
"""These have slots of their own: a process that does not answer them is taken out of service."""
JUDGED_FOR_SECONDS = 0.05
"""How long the judgement of a token is good for a request that waits."""


class TooManyRequests(TooMany):
    """The caller exceeds the requests a second that the settings allow."""

    message = "You have exceeded {limit} requests per second. Try again in {seconds} s."

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

    async def count(self, principal: str, token: bytes | None, cost: int = 1) -> None:
        """Count requests of an authenticated principal; raises TooManyRequests."""
        if not (wait := self._limit.retry_after(principal, cost)):
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

    def __init__(self, rates: Rates, tokens: KnownTokens) -> None:
        self._rates, self._tokens = rates, tokens
        self._known = FairSlots(AT_ONCE, SHARE_ALONE)
        self._asking: dict[str, float] = {}
        """The two parties that asked last, and when."""
        self._shares: WeakValueDictionary[str, LoopShare] = WeakValueDictionary()
        self._anonymous = FairSlots(ANONYMOUS_AT_ONCE, ANONYMOUS_AT_ONCE)
        self._probes = FairSlots(ANONYMOUS_AT_ONCE, ANONYMOUS_AT_ONCE)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on when it is the caller's turn."""
        caller: Caller = scope.get("user")
        if caller is None:
            if scope["path"] in ALWAYS:
                await next_app(scope, receive, send)
                return
            slots = self._probes if scope["path"] in PROBES else self._anonymous
            async with _Slot(slots, None, None, scope) as slot:
                await next_app(scope, receive, slot.answering(send))
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
        self._known.share = SHARE_ALONE if alone else SHARE_AMONG_OTHERS
        if _is_large(scope):
            next_app = while_connected(next_app)
        async with _Slot(self._known, party, principal, scope, rest=0.0 if alone else REST) as slot:
            if time.monotonic() - began > JUDGED_FOR_SECONDS:
                # SECURITY: the token may have been revoked while the request waited
                async with service.reads() as session:
                    await refuse_ended(
                        session, scope["state"].get("shown"), await database_time(session)
                    )
            await next_app(scope, receive, slot.answering(send))

    def _is_alone(self, party: str, now: float) -> bool:
        """Note that the party asks, and return whether no other one has asked lately."""
        others = {name: at for name, at in self._asking.items() if name != party}
        newest = max(others, key=others.__getitem__, default=None)
        self._asking = {party: now}
        if newest is not None:
            self._asking[newest] = others[newest]
        return not self._others_ask(party)

    def _others_ask(self, party: str) -> bool:
        """Return whether another party has asked lately."""
        now = time.monotonic()
        return any(
            name != party and now - at <= LATELY_SECONDS for name, at in self._asking.items()
        )


class _Slot:
    """A slot that is held until the answer begins: whoever reads it slowly keeps nobody waiting."""

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
        self.give_up()

    def give_up(self) -> None:
        """Let the next one have it; nothing happens the second time."""
        if not self._held:
            return
        self._held = False
        if self._rest and self._slots.has_backlog(self._party):
            rest = self._rest * (time.monotonic() - self._since)
            asyncio.get_running_loop().call_later(rest, self._slots.release, self._party)
        else:
            self._slots.release(self._party)

    def answering(self, send: Send) -> Send:
        """Return the same, with the slot given up before the first message."""

        async def answer(message: Message) -> None:
            self.give_up()
            await send(message)

        return answer


def give_up_slot(request: Request[Any, Any, Any]) -> None:
    """Give up the request's slot before it waits for something else.

    SECURITY: whoever can make a request wait would otherwise hold a slot that others need.
    """
    slot: _Slot | None = request.scope["state"].get("slot")
    if slot is not None:
        slot.give_up()


async def count_more(request: Request[Any, Any, Any], cost: int) -> None:
    """Count a request that costs as much as several; raises TooManyRequests."""
    rates: Rates | None = request.scope["state"].get("rates")
    if rates is not None and cost > 0:
        await rates.count(_principal(request.scope, request.user), _token(request.scope), cost)


def _principal(scope: Scope, caller: User | Operator) -> str:
    """Return who sends the requests: of a service account that acts for members the account."""
    if isinstance(caller, Operator):
        return f"operator:{caller.name}"
    shown = scope.get("auth")
    return f"user:{shown.account if isinstance(shown, OnBehalf) else caller.id}"


def _is_large(scope: Scope) -> bool:
    """Return whether the request is an auditor's question or a plan."""
    return "/audit/" in str(scope.get("path_template", ""))


def _token(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _digest(token: bytes) -> bytes:
    """Return what stands for a token in memory, where no secret stays."""
    return blake2b(token, digest_size=16).digest()
