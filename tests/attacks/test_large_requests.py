"""Requests that are larger than anything that makes sense, in every part of a request."""

import asyncio

import pytest

from tests.attacks.connections import HOST, Connection, ask, connected
from tests.support.http_server import HttpServer

MEGABYTE = 1024 * 1024
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
ACCEPT = b"POST /v1/invitations/accept HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = ACCEPT + b"Transfer-Encoding: chunked\r\n\r\n"


async def flood(connection: Connection, part: bytes) -> None:
    """Send the same bytes until the server stops reading, 50 MB at most."""
    try:
        for _ in range(50 * MEGABYTE // len(part)):
            await connection.send(part)
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    ("begin", "part", "status", "code"),
    [
        (GET, b"X-Many: " + b"x" * 1000 + b"\r\n", 431, "headers_too_large"),
        (GET + b"X-Endless: ", b"x" * 10_000, 431, "headers_too_large"),
        (GET, b"x" * 10_000, 431, "headers_too_large"),
        (b"", b"\r\n" * 5000, 431, "headers_too_large"),
        (b"GET /", b"x" * 10_000, 414, "target_too_long"),
        (CHUNKED, b"1000\r\n" + b"x" * 0x1000 + b"\r\n", 413, "body_too_large"),
        (CHUNKED, b"1\r\nx\r\n" * 1000, 413, "body_too_large"),
        (CHUNKED + b"1;", b"x" * 10_000, 413, "body_too_large"),
        (CHUNKED + b"0\r\nX-Trailer: ", b"x" * 10_000, 413, "body_too_large"),
        (CHUNKED + b"0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n", 413, "body_too_large"),
    ],
    ids=[
        "headers",
        "one header",
        "a header's name",
        "blank lines",
        "the path",
        "chunks",
        "chunks of one byte",
        "a chunk's extension",
        "one trailer",
        "trailers",
    ],
)
async def test_an_endless_request_is_refused(
    http_server: HttpServer, begin: bytes, part: bytes, status: int, code: str
) -> None:
    async with connected(http_server) as connection:
        await connection.send(begin)
        flooding = asyncio.create_task(flood(connection, part))
        answer = await connection.answer()
        answer.refused(status, code)
        assert await connection.closed()
        await flooding


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (GET + b"X-One: 1\r\n" * 101 + b"\r\n", 431, "headers_too_large"),
        (GET + b"X-Large: " + b"x" * 17_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /?" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "target_too_long"),
        (ACCEPT + b"Content-Length: 65537\r\n\r\n" + b" " * 65537, 413, "body_too_large"),
        (ACCEPT + b"Content-Length: 65537\r\n\r\n", 413, "body_too_large"),
        (b"\x16\x03\x01 no HTTP at all\r\n\r\n", 400, "invalid_request"),
        (
            GET + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
            400,
            "invalid_request",
        ),
    ],
)
async def test_a_request_that_is_too_large_is_refused_with_a_problem(
    http_server: HttpServer, request_: bytes, status: int, code: str
) -> None:
    (await ask(http_server, request_)).refused(status, code)


async def test_a_request_just_within_the_limits_is_answered(http_server: HttpServer) -> None:
    async with connected(http_server) as connection:
        await connection.send(GET + b"X-Many: 1\r\n" * 90 + b"\r\n")
        assert (await connection.answer()).status == 200
        await connection.send(GET + b"X-Large: " + b"x" * 15_000 + b"\r\n\r\n")
        assert (await connection.answer()).status == 200
        body = b'{"token": "' + b"x" * 65_000 + b'"}'
        await connection.send(ACCEPT + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 10_000):
            await connection.send(body[at : at + 10_000])
            await asyncio.sleep(0.01)
        answer = await connection.answer()
        assert answer.status in (400, 404), answer
        await connection.send(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")
        answer = await connection.answer()
        answer.refused(400, "invalid_request")
        await connection.send(GET + b"\r\n")
        assert (await connection.answer()).status == 200


async def test_expect_continue_is_answered_before_the_body(
    http_server: HttpServer,
) -> None:
    async with connected(http_server) as connection:
        await connection.send(ACCEPT + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await connection.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await connection.send(b"{}")
        (await connection.answer()).refused(400, "invalid_request")


async def test_a_few_pipelined_requests_are_answered_in_order_and_many_are_refused(
    http_server: HttpServer,
) -> None:
    async with connected(http_server) as connection:
        await connection.send((GET + b"\r\n") * 3)
        for _ in range(3):
            assert (await connection.answer()).status == 200
    async with connected(http_server) as connection:
        await connection.send((b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
        assert await connection.closed()


async def test_a_trailer_does_not_count_as_a_header(http_server: HttpServer) -> None:
    operator = await http_server.deployment.operator_person()
    answer = await ask(
        http_server,
        b"POST /v1/organizations HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        + f"Authorization: Bearer {operator.token}\r\n\r\n".encode(),
    )
    answer.refused(401, "sign_in_required")
