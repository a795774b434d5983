"""A connection that can be cut: between a service and SpiceDB."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress


class Relay:
    """Forwards bytes to `endpoint` from another port. A test cuts and repairs it."""

    def __init__(self, endpoint: str) -> None:
        self._host, _, self._port = endpoint.partition(":")
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._listen = 0
        self.silent = False
        """Whether it accepts connections and forwards nothing."""

    @property
    def endpoint(self) -> str:
        """Where the service is to connect."""
        return f"127.0.0.1:{self._listen}"

    async def restore(self) -> None:
        """Listen, on the same port each time."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen)
        self._listen = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection and accept no new one."""
        if self._server is not None:
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._pass(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if self.silent:
                await asyncio.Event().wait()
            onward, back = await asyncio.open_connection(self._host, int(self._port))
            with closing(back):
                await asyncio.gather(_copy(reader, back), _copy(onward, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def relay(endpoint: str) -> AsyncIterator[Relay]:
    """Open a relay to the endpoint, cut at the end."""
    opened = Relay(endpoint)
    await opened.restore()
    yield opened
    await opened.cut()
