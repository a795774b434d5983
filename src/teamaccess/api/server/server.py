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
from teamaccess.api.server.gate import ConnectionGate
from teamaccess.api.server.limits import ConnectionLimits
from teamaccess.api.server.pacing import PacedApp

log = structlog.get_logger()

SWEEP_SECONDS = 0.5
"""How often connections are checked. Their time limits are this exact."""
STOP_SECONDS = 30
"""How long a stopping server waits for requests that are being answered."""


class LimitedServer(uvicorn.Server):
    """A uvicorn server that checks the limits of its connections every SWEEP_SECONDS."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the server stops, and sweep until its last connection is closed."""
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
                except Exception as error:  # one connection must not end the sweep of all others
                    log.error("connection_sweep_failed", exc_info=error)


def create_server(app: Any, limits: ConnectionLimits) -> LimitedServer:
    """Return a server for an application of `create_app`, with these limits."""
    connection = partial(LimitedConnection, gate=ConnectionGate(limits))
    return LimitedServer(
        uvicorn.Config(
            PacedApp(app, app.state.known_tokens, limits.unknown_per_second),
            http=cast(type[asyncio.Protocol], connection),
            ws="none",
            # uvicorn warns of every malformed request, so any client could fill the log
            log_level="error",
            access_log=False,
            server_header=False,
            # SECURITY: any client can forge X-Forwarded-For, and nothing here needs it
            proxy_headers=False,
            timeout_keep_alive=math.ceil(limits.idle_seconds),
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
