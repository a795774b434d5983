"""Connections that an attacker opens by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event

from tests.support.http_server import HttpServer

HOST = b"Host: teamaccess.test\r\n"
PATIENCE = 20


@dataclass(frozen=True)
class Answer:
    """What was received until the server closed the connection or the answer was complete."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> dict[str, Any]:
        """Return the problem details."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem

    def refused(self, status: int, code: str) -> None:
        """Check that this is the refusal."""
        assert (self.status, self.problem()["code"]) == (status, code), self


@dataclass
class Connection:
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes, even if the server does not read them any more."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().rstrip().split("\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def closed(self) -> bool:
        """Wait until the server closes the connection without another word."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def connected(http_server: HttpServer) -> AsyncIterator[Connection]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection(http_server.host, http_server.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def ask(http_server: HttpServer, raw: bytes) -> Answer:
    """Send bytes on a new connection, and read the answer."""
    async with connected(http_server) as connection:
        await connection.send(raw)
        return await connection.answer()


@contextmanager
def questions(http_server: HttpServer) -> Iterator[list[str]]:
    """The statements that the server sends to PostgreSQL during the block, outside of changes."""
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    engine = http_server.service.reads.kw["bind"].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)
