"""A process that sends requests over many connections, each as soon as the previous one is answered."""

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

REFUSED = 0
"""Counted as a status if the server ended the connection without an answer."""
PAUSE_SECONDS = 0.05
"""The pause before a closed connection is opened again."""


@dataclass(frozen=True)
class Request:
    """The request that one connection repeats."""

    content: bytes
    half_sent: bool = False
    """Whether the request is never completed, so that the connection stays silent."""

    @classmethod
    def of(
        cls, method: str, path: str, token: str | None = None, body: Any = None, **headers: str
    ) -> "Request":
        """Return a request as HTTP/1.1 spells it."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
        lines += ["Content-Type: application/json"] if content else []
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return cls("\r\n".join([*lines, "", ""]).encode() + content)


@dataclass(frozen=True)
class RequestFlood:
    """One request for each connection."""

    port: int
    requests: list[Request]


def run(flood: RequestFlood, stop: Event, reports: "Queue[Any]") -> None:
    """Report the start, send requests until `stop` is set, and report how often each status came."""
    reports.put({})
    reports.put(asyncio.run(_all(flood, stop)))


async def _all(flood: RequestFlood, stop: Event) -> dict[int, int]:
    answers: Counter[int] = Counter()
    running = [asyncio.create_task(_repeat(flood.port, each, answers)) for each in flood.requests]
    await asyncio.to_thread(stop.wait)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return dict(answers)


async def _repeat(port: int, request: Request, answers: Counter[int]) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
            try:
                while True:
                    writer.write(request.content)
                    if request.half_sent:
                        await reader.read()
                        break
                    answers[await _status(reader)] += 1
            finally:
                writer.close()
        answers[REFUSED] += 1
        await asyncio.sleep(PAUSE_SECONDS)


async def _status(reader: asyncio.StreamReader) -> int:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    await reader.readexactly(int(headers.get("content-length", 0)))
    return int(status.split(" ")[1])
