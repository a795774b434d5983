"""The server that `teamaccess serve` runs."""

import asyncio
import math
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
import uvicorn

from teamaccess.api.server.connection import LimitedConnection
from teamaccess.api.server.gate import Gate
from teamaccess.api.server.limits import ConnectionLimits
from teamaccess.api.server.pacing import PacedApp

log = structlog.get_logger()

SWEEP_SECONDS = 0.5
"""How often connections are looked at, which is how exact their time limits are."""
STOP_SECONDS = 30
"""How long a stopping server waits for requests that are being answered."""


class LimitedServer(uvicorn.Server):
    """A uvicorn server that looks at its connections twice a second."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end, and sweep until the last connection is closed."""
        sweep = asyncio.create_task(self._sweep())
        try:
            await super().serve(sockets)
        finally:
            sweep.cancel()
            with suppress(asyncio.CancelledError):
                await sweep

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                try:
                    cast(LimitedConnection, connection).enforce(now)
                except Exception as error:  # one connection must not end the limits of all others
                    log.error("connection_not_swept", exc_info=error)


def create_server(app: Any, limits: ConnectionLimits) -> LimitedServer:
    """Return a server for the application that `create_app` returns, within these limits."""
    connection = partial(LimitedConnection, gate=Gate(limits))
    return LimitedServer(
        uvicorn.Config(
            PacedApp(app, app.state.known_tokens, limits.unknown_per_second),
            http=cast(type[asyncio.Protocol], connection),
            ws="none",
            # uvicorn warns of every malformed request, so anybody could fill the log
            log_level="error",
            access_log=False,
            server_header=False,
            # SECURITY: whoever connects could forge X-Forwarded-For; nothing here needs it
            proxy_headers=False,
            timeout_keep_alive=math.ceil(limits.idle_seconds),
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
