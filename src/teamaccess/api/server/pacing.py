"""Requests of callers whom nobody knows come one after another, not all at once.

Each costs a little before anything can judge it: it is parsed, routed, perhaps looked up. Any number of
connections could send any number of them, and every step of everybody else's requests would wait for all.
So they are spread over time, for each client address and altogether. Clients that wait for their answers
before they send more are slowed down by that; the others fill their own connections. The turn of a client
that has gone is given back: otherwise a flood of short connections would take the turns of hours to come.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import Any

from cachetools import TTLCache

from teamaccess.api.server.gate import counted_address
from teamaccess.common.fairness import MOST_KEYS, RateLimit

KNOWN_SECONDS = 600.0
"""How long a token that was valid is known. It allows nothing: it is judged with every request."""
ADDRESSES = 2
"""So many addresses at their limit are served without delay."""
GONE = "teamaccess.client_gone"
"""In the scope of a request: an event that is set when the client closes the connection."""
ALWAYS = frozenset({"/healthz"})
"""Whoever watches over the process waits for others of the same address alone."""


SHARE = 4.0
"""One address's unknown requests take a quarter of the process's time at most. One that takes longer than
a quarter of its interval counts as more than one: the same request takes longer on a busy machine."""
LONGEST_SECONDS = 0.02
"""A request counts as no longer than this: it may wait for something else."""


class KnownTokens:
    """Hashes of tokens that were valid lately."""

    def __init__(self) -> None:
        self._known: TTLCache[bytes, bool] = TTLCache(MOST_KEYS, KNOWN_SECONDS)

    def add(self, token: bytes) -> None:
        """Remember a token that has just been valid."""
        self._known[_digest(token)] = True

    def __contains__(self, token: bytes) -> bool:
        return _digest(token) in self._known


class Paced:
    """An ASGI application whose unknown callers wait for their turn."""

    def __init__(self, app: Any, known: KnownTokens, per_second: float) -> None:
        self._app = app
        self._known = known
        self._interval = 1 / per_second
        burst = max(1, round(per_second / 2))
        self._by_address = RateLimit(per_second, burst)
        self._altogether = RateLimit(per_second * ADDRESSES, burst * ADDRESSES)

    @property
    def state(self) -> Any:
        """The application's."""
        return self._app.state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Go on when it is the request's turn; not at all for a client that has gone."""
        if scope["type"] == "http" and not self._is_known(scope):
            gone: asyncio.Event = scope.get(GONE) or asyncio.Event()
            address = counted_address(scope.get("client"))
            if not await _turn(self._by_address, address, gone):
                return
            if scope["path"] not in ALWAYS and not await _turn(self._altogether, None, gone):
                return
            with _Measured(send) as measured:
                await self._app(scope, receive, measured)
            if (more := SHARE * measured.seconds - self._interval) > 0:
                self._by_address.charge(address, more)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Any) -> bool:
        tokens = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(tokens) == 1 and tokens[0] in self._known


class _Measured:
    """A `send` that notes how long the answer took to begin."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._began = self._answered = 0.0

    def __enter__(self) -> "_Measured":
        self._began = monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._answered = self._answered or monotonic()

    async def __call__(self, message: Any) -> None:
        self._answered = self._answered or monotonic()
        await self._send(message)

    @property
    def seconds(self) -> float:
        """How long it took, up to a limit."""
        return min(self._answered - self._began, LONGEST_SECONDS)


async def _turn(limit: RateLimit, key: Hashable, gone: asyncio.Event) -> bool:
    """Wait for a turn, and return whether the client is still there."""
    if not await _sleep(limit.reserve(key), gone):
        return True
    limit.give_back(key)
    return False


async def _sleep(seconds: float, gone: asyncio.Event) -> bool:
    """Let the time pass, and return whether the client has gone before its end."""
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await gone.wait()
    return gone.is_set()


def _digest(token: bytes) -> bytes:
    """Return what stands for a token in memory, where no secret stays."""
    return blake2b(token, digest_size=16).digest()
