"""Requests that no client library would send, over a real connection."""

import asyncio

import httpx
import pytest

from tests.support.http_server import HttpServer

HOST = b"Host: teamaccess.test\r\n"
JSON = b"Content-Type: application/json\r\n"
ACCEPT = b"POST /v1/invitations/accept HTTP/1.1\r\n" + HOST + JSON

RAW = {
    "raw bytes in the path": b"GET /v1/organizations/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path that is not UTF-8": b"GET /v1/organizations/%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
    "an encoded NUL": b"GET /v1/organizations/%00/members HTTP/1.1\r\n" + HOST + b"\r\n",
    "half an escape": b"GET /v1/organizations/%0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a query that is not UTF-8": b"GET /v1/organizations?cursor=\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /v1/me HTTP/1.1\r\n\r\n",
    "an invalid host": b"GET /v1/me HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a header that is not ASCII": b"GET /v1/me HTTP/1.1\r\n"
    + HOST
    + b"Authorization: \xff\r\n\r\n",
    "a negative length": ACCEPT + b"Content-Length: -1\r\n\r\n",
    "two lengths": ACCEPT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length that is not a number": ACCEPT + b"Content-Length: ten\r\n\r\n",
    "a length beyond the limit": ACCEPT + b"Content-Length: 99999999999\r\n\r\n{",
    "a body in chunks beyond the limit": (
        ACCEPT + b"Transfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 8
    ),
    "invalid chunks": ACCEPT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "length and chunks": ACCEPT
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a body that claims to be compressed": (
        ACCEPT + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    ),
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
}


async def status_line(http_server: HttpServer, raw: bytes) -> bytes:
    """Send the bytes; return the first line of the server's answer."""
    reader, writer = await asyncio.open_connection(http_server.host, http_server.port)
    try:
        writer.write(raw)
        return await asyncio.wait_for(reader.readline(), timeout=20)
    finally:
        writer.close()


@pytest.mark.parametrize("kind", RAW)
async def test_the_server_refuses_malformed_http_and_keeps_running(
    http_server: HttpServer, kind: str
) -> None:
    line = await status_line(http_server, RAW[kind])

    assert line.startswith(b"HTTP/1.1 4"), line
    async with httpx.AsyncClient() as client:
        alive = await client.get(f"{http_server.url}/healthz")
        assert alive.json() == {"status": "ok"}


async def test_a_client_that_disconnects_during_a_request_does_no_harm(
    http_server: HttpServer,
) -> None:
    for raw in (ACCEPT, ACCEPT + b'Content-Length: 100\r\n\r\n{"token":'):
        _, writer = await asyncio.open_connection(http_server.host, http_server.port)
        writer.write(raw)
        await writer.drain()
        writer.close()
    async with httpx.AsyncClient() as client:
        ready = await client.get(f"{http_server.url}/readyz")
        assert ready.json()["status"] == "ok"
