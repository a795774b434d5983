"""Large questions end when their client goes away.

Otherwise a client that asks, goes away and asks again leaves ever more work behind, and everybody else's
requests wait for answers that nobody reads.
"""

import asyncio
from contextlib import suppress

from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send


def while_connected(app: ASGIApp) -> ASGIApp:
    """Return an application that is cancelled when its client goes away. It must commit nothing."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        request = await receive()  # all of it, by `api/receiving.py`
        answering = asyncio.ensure_future(app(scope, _replayed(request, receive), send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()  # which does nothing where it is done
            with suppress(asyncio.CancelledError):
                await answering

    return run


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _replayed(request: ReceiveMessage, receive: Receive) -> Receive:
    """Return a `receive` that begins with the request."""
    first = [request]

    async def again() -> ReceiveMessage:
        return first.pop() if first else await receive()

    return again
