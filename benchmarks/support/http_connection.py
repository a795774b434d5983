"""A minimal HTTP client with one connection, so that the time is the server's and not the client's."""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from benchmarks.support.load import NotEnforcedYet

BUSY = ("organization_busy", "engine_unavailable")
"""The error codes of a change that was not started because SpiceDB does not keep up."""


class Unexpected(Exception):
    """The API gave an answer that the benchmark does not expect."""


@dataclass(frozen=True)
class Answer:
    """The status, the headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def late(self) -> bool:
        """Whether the change is not in force yet, or was not started because an earlier one is not."""
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return json.loads(self.body)["code"] in BUSY
        return self.status == HTTPStatus.ACCEPTED


class Connection:
    """One caller's connection to the API on 127.0.0.1, with one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, expected: int, method: str, path: str, token: str | None = None, body: Any = None
    ) -> Answer:
        """Send a request and return the answer. Raises NotEnforcedYet and Unexpected."""
        content = b"" if body is None else json.dumps(body).encode()
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        reader, writer = await self._connected()
        writer.write(head.encode() + content)
        answer = await _read(reader)
        if answer.late:
            raise NotEnforcedYet(answer.status)
        if answer.status != expected:
            raise Unexpected(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return the open connection. Connect again if the server closed it because it was idle."""
        if self._streams is None or self._streams[0].at_eof():
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        return self._streams


async def _read(reader: asyncio.StreamReader) -> Answer:
    try:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split(" ")[1]), headers, body)
    except asyncio.IncompleteReadError as cut:
        raise Unexpected("the API closed the connection instead of answering") from cut
