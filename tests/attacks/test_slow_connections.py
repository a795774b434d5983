"""Connections that keep the server waiting: silent ones, incomplete requests, and unread answers."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from tests.attacks.connections import HOST, connected, questions
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer, serve_http
from tests.support.organization import Organization

ACCEPT = b"POST /v1/invitations/accept HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def hasty(fintoc: Deployment) -> Iterator[HttpServer]:
    """A server that waits for nothing longer than a second."""
    with serve_http(
        fintoc,
        first_byte_seconds=0.5,
        request_seconds=1.0,
        idle_seconds=1.0,
        answer_seconds=1.0,
    ) as http_server:
        yield http_server


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send the same bytes again and again, for as long as they are taken."""
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_silent_connection_is_closed(hasty: HttpServer) -> None:
    async with connected(hasty) as connection:
        assert await connection.closed()


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\n", b"X-Drip: a\r\n"),
        (b"GET /healthz HTTP/1.1\r\nX-Drip: ", b"a"),
        (b"", b"\r\n"),
        (ACCEPT + b"Content-Length: 1000\r\n\r\n", b"x"),
        (ACCEPT + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (ACCEPT + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: a\r\n"),
    ],
    ids=["headers", "one header", "blank lines", "a body", "chunks", "trailers"],
)
async def test_a_slow_request_is_refused_after_its_time_limit(
    hasty: HttpServer, begin: bytes, more: bytes
) -> None:
    async with connected(hasty) as connection:
        await connection.send(begin)
        dripping = asyncio.create_task(drip(connection.writer, more))
        began = time.monotonic()
        answer = await connection.answer()
        dripping.cancel()
        answer.refused(408, "request_timeout")
        assert time.monotonic() - began < 2.5
        assert answer.headers["connection"] == "close"


async def test_an_incomplete_request_after_a_complete_one_is_refused_too(hasty: HttpServer) -> None:
    async with connected(hasty) as connection:
        await connection.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /healthz HT")
        assert (await connection.answer()).status == 200
        (await connection.answer()).refused(408, "request_timeout")


async def test_an_idle_connection_is_closed(hasty: HttpServer) -> None:
    async with connected(hasty) as connection:
        await connection.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await connection.answer()).status == 200
        assert await connection.closed()


async def test_a_token_revoked_while_the_body_arrives_does_nothing(
    http_server: HttpServer, acme: Organization
) -> None:
    ana = acme.administrator
    bob = await acme.member("bob", ["support"])
    before = await acme.ledger()
    body = b'{"reason": "he left"}'
    head = (
        f"POST {acme.path}/members/{bob.id}/suspend HTTP/1.1\r\nHost: teamaccess.test\r\n"
        f"Authorization: Bearer {ana.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    async with connected(http_server) as connection:
        await connection.send(head.encode() + body[:5])
        (await ana.ask("POST", "/v1/me/sign-out")).raise_for_status()
        await connection.send(body[5:])
        answer = await connection.answer()
    answer.refused(401, "invalid_token")
    assert await acme.ledger() == before


async def test_postgresql_is_not_queried_before_the_body_has_arrived(hasty: HttpServer) -> None:
    """Even an invented token is looked up, but not for a request whose body never arrives."""
    head = ACCEPT + b"Authorization: Bearer ta_" + b"x" * 43 + b"\r\nContent-Length: 2\r\n\r\n"
    with questions(hasty) as asked:
        async with connected(hasty) as connection:
            await connection.send(head + b"{")
            (await connection.answer()).refused(408, "request_timeout")
        assert not asked
        async with connected(hasty) as connection:
            await connection.send(head + b"{}")
            (await connection.answer()).refused(401, "invalid_api_token")
        assert asked


async def test_an_unread_answer_is_abandoned(hasty: HttpServer) -> None:
    """Otherwise the answers stay in memory until the client reads them, which it never does."""
    with socket.create_connection((hasty.host, hasty.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /schema/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
        client.setblocking(False)
        loop = asyncio.get_running_loop()

        async def ask_on() -> None:
            while True:
                await loop.sock_sendall(client, request)
                await asyncio.sleep(0.02)

        async with asyncio.timeout(15):
            with pytest.raises(ConnectionError):
                await ask_on()


async def test_a_slow_but_steady_reader_gets_the_complete_answer(hasty: HttpServer) -> None:
    async with connected(hasty) as connection:
        await connection.send(b"GET /schema/openapi.json HTTP/1.1\r\n" + HOST + b"\r\n")
        head = await connection.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        read = 0
        while read < length:
            read += len(await connection.reader.read(8192))
            await asyncio.sleep(0.05)
    assert read == length
