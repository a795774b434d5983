"""Spread the requests of unknown callers over time.

Each request costs a little before the application can refuse it: parsing, routing, perhaps a query. With
many connections, an attacker could send so many that other callers' requests wait for all of them. So
requests without a known token are paced, for each client address and in total. A client that waits for
each answer is slowed down. A client that does not wait fills only its own connections.

The turn of a client that has gone is given back. Otherwise a flood of short connections would use up the
turns of the next hours.
"""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from hashlib import blake2b
from time import monotonic
from typing import Any

from cachetools import TTLCache

from teamaccess.api.server.gate import counted_address
from teamaccess.common.sharing.rate_limit import MOST_KEYS, RateLimit

KNOWN_SECONDS = 600.0
"""How long a valid token stays known. A known token grants nothing: every request checks it again."""
ADDRESSES = 2
"""How many addresses can send at their limit before the limit of all addresses delays them."""
CLIENT_GONE = "teamaccess.client_gone"
"""The key in a request's scope of an event that is set when the client closes the connection."""
PACED_BY_ADDRESS_ONLY = frozenset({"/healthz"})
"""A monitor's requests wait only for other requests from its own address."""
SHARE = 4.0
"""The requests of one address take at most a quarter of the process's time. So a request that takes
longer than a quarter of its interval counts as more than one, as on a busy machine."""
LONGEST_SECONDS = 0.02
"""The most time that counts for one request. The rest is probably waiting, and not work."""


class KnownTokens:
    """Hashes of tokens that were valid within KNOWN_SECONDS."""

    def __init__(self) -> None:
        self._known: TTLCache[bytes, bool] = TTLCache(MOST_KEYS, KNOWN_SECONDS)

    def add(self, token: bytes) -> None:
        """Remember a token that is valid now."""
        self._known[_digest(token)] = True

    def __contains__(self, token: bytes) -> bool:
        return _digest(token) in self._known


class PacedApp:
    """An ASGI application that makes unknown callers wait for their turn."""

    def __init__(self, app: Any, known: KnownTokens, per_second: float) -> None:
        self._app = app
        self._known = known
        self._interval = 1 / per_second
        burst = max(1, round(per_second / 2))
        self._by_address = RateLimit(per_second, burst)
        self._in_total = RateLimit(per_second * ADDRESSES, burst * ADDRESSES)

    @property
    def state(self) -> Any:
        """The state of the wrapped application."""
        return self._app.state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Continue when it is the request's turn. Drop the request if its client has gone."""
        if scope["type"] == "http" and not self._is_known(scope):
            gone: asyncio.Event = scope.get(CLIENT_GONE) or asyncio.Event()
            address = counted_address(scope.get("client"))
            if not await _turn(self._by_address, address, gone):
                return
            if scope["path"] not in PACED_BY_ADDRESS_ONLY and not await _turn(
                self._in_total, None, gone
            ):
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
    if not await _wait(limit.reserve(key), gone):
        return True
    limit.cancel_reservation(key)
    return False


async def _wait(seconds: float, gone: asyncio.Event) -> bool:
    """Wait, and return whether the client has gone in that time."""
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await gone.wait()
    return gone.is_set()


def _digest(token: bytes) -> bytes:
    """Return a hash of a token, because secrets must not stay in memory."""
    return blake2b(token, digest_size=16).digest()
