"""A proxy between a process and a server that delays, holds, drops or cuts what it forwards."""

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

Address = tuple[str, int] | Path
"""A port of a host, or a unix socket."""
CHUNK = 256 * 1024


class Direction:
    """One direction of the connections."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """How late everything arrives."""
        self._flowing = asyncio.Event()
        self._flowing.set()

    def hold(self) -> None:
        """Hold everything that is on its way. Nothing is lost, only late."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward everything, without delay from now on."""
        self.seconds = 0.0
        self._flowing.set()

    async def forward(self, chunk: bytes, writer: StreamWriter) -> None:
        """Forward a chunk, as soon as this direction allows."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        await self._flowing.wait()
        writer.write(chunk)
        await writer.drain()


class Proxy:
    """Listens for one process and connects it to one server."""

    def __init__(self, listens: Address, server: Address) -> None:
        self.address = listens
        self._server = server
        self.requests, self.answers = Direction(), Direction()
        self._trigger: bytes | None = None
        self._cut = asyncio.Event()
        self._connections: set[asyncio.Future[None]] = set()
        self._processes: set[StreamWriter] = set()
        self._present: set[asyncio.Event] = set()
        """One event for each connection, which is set once the connection is silent."""
        self._listener: asyncio.Server | None = None

    @property
    def endpoint(self) -> str:
        """host:port of a proxy that listens on TCP."""
        assert isinstance(self.address, tuple)
        return "{}:{}".format(*self.address)

    async def accept(self) -> None:
        """Listen, at the same address every time."""
        if self._listener is not None:
            return
        if isinstance(self.address, Path):
            self.address.unlink(missing_ok=True)
            self._listener = await asyncio.start_unix_server(self._connect, self.address)
        else:
            self._listener = await asyncio.start_server(self._connect, *self.address)
            host, port = self._listener.sockets[0].getsockname()
            self.address = (host, port)

    async def refuse(self) -> None:
        """Cut every connection, and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self.disconnect()

    async def connect_to(self, server: Address) -> None:
        """Connect to that server from now on, and cut the connections to another one."""
        if server != self._server:
            self._server = server
            await self.disconnect()

    async def disconnect(self) -> None:
        """End every connection at once. Held data is lost."""
        self._cut.set()
        self._cut = asyncio.Event()
        while self._connections:
            await asyncio.wait(self._connections)
        await asyncio.sleep(0)  # by now the sockets are closed

    def silence(self) -> None:
        """Drop everything on the present connections from now on, as a firewall does.

        Neither side learns of it. New connections work.
        """
        for connection in self._present:
            connection.set()

    def send_as_server(self, content: bytes) -> None:
        """Send bytes to the process on every connection, in the server's place."""
        for process in self._processes:
            process.write(content)

    def hold_answers_after(self, content: bytes) -> None:
        """Hold the answers once the process has sent these bytes."""
        self._trigger = content

    async def repair(self) -> None:
        """Listen, and forward everything at once, including what was held."""
        self._trigger = None
        self.requests.resume()
        self.answers.resume()
        await self.accept()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        cut, ended = self._cut, asyncio.get_running_loop().create_future()
        try:
            answers, requests = await _open(self._server)
        except OSError:
            writer.transport.abort()
            return
        silent = asyncio.Event()
        self._connections.add(ended)
        self._processes.add(writer)
        self._present.add(silent)
        ends = [
            asyncio.create_task(self._ask(reader, requests, silent)),
            asyncio.create_task(self._answer(answers, writer, silent)),
            asyncio.create_task(cut.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            writer.transport.abort()
            requests.transport.abort()
            self._connections.discard(ended)
            self._processes.discard(writer)
            self._present.discard(silent)
            ended.set_result(None)

    async def _ask(self, reader: StreamReader, writer: StreamWriter, silent: asyncio.Event) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if silent.is_set():
                    continue
                if self._trigger is not None and self._trigger in chunk:
                    self._trigger = None
                    self.answers.hold()
                await self.requests.forward(chunk, writer)

    async def _answer(
        self, reader: StreamReader, writer: StreamWriter, silent: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if not silent.is_set():
                    await self.answers.forward(chunk, writer)
        if silent.is_set():  # nobody tells the process that the server has ended the connection
            await asyncio.Event().wait()


async def _open(server: Address) -> tuple[StreamReader, StreamWriter]:
    if isinstance(server, Path):
        return await asyncio.open_unix_connection(server)
    return await asyncio.open_connection(*server)
