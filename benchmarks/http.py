"""A client so light that the server is what is measured: one connection, kept alive."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Self


class Unexpected(Exception):
    """The API answered something that no figure can be made of."""


@dataclass(frozen=True)
class Answer:
    """A status, headers with their names in lower case, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


class Connection:
    """One caller's connection to the API; requests go one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect to 127.0.0.1."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**22))

    async def ask(
        self, expected: int, method: str, path: str, token: str | None = None, body: Any = None
    ) -> Answer:
        """Send a request and return the answer; raises Unexpected for another status."""
        content = b"" if body is None else json.dumps(body).encode()
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        answer = await self._answer()
        if answer.status != expected:
            raise Unexpected(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer

    async def _answer(self) -> Answer:
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split(" ")[1]), headers, body)
