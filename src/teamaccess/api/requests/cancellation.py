"""Cancel large requests when their client goes away.

Otherwise a client could send such requests and disconnect, again and again. Other callers' requests would
then wait for answers that nobody reads.
"""

import asyncio
from contextlib import suppress

from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send


def while_connected(app: ASGIApp) -> ASGIApp:
    """Return an application that is cancelled when its client goes away. It must commit nothing."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        request = await receive()  # the whole request, because ReceiveBody has received it
        answering = asyncio.ensure_future(app(scope, _replayed(request, receive), send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()  # this does nothing if the answer is complete
            with suppress(asyncio.CancelledError):
                await answering

    return run


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _replayed(request: ReceiveMessage, receive: Receive) -> Receive:
    """Return a `receive` that returns the request first."""
    first = [request]

    async def again() -> ReceiveMessage:
        return first.pop() if first else await receive()

    return again
