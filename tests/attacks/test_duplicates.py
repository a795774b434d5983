"""The same header or parameter twice: one of the two would win here, and the other one elsewhere."""

import pytest

from tests.attacks.connections import HOST, ask
from tests.support.http_server import HttpServer
from tests.support.organization import Organization
from tests.support.responses import refused

JSON = b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer one",
        b"Teamaccess-On-Behalf-Of: usr_1",
        b"Idempotency-Key: k1",
        b'If-Match: "1"',
        b"Content-Type: application/json",
        b"Host: teamaccess.test",
    ],
)
async def test_a_single_value_header_is_refused_when_it_is_sent_twice(
    http_server: HttpServer, header: bytes
) -> None:
    host = b"" if header.startswith(b"Host") else HOST
    first = b"POST /v1/organizations HTTP/1.1\r\n" + host + b"Content-Length: 2\r\n"
    answer = await ask(http_server, first + (header + b"\r\n") * 2 + b"\r\n{}")
    answer.refused(400, "duplicate_header")
    assert answer.problem()["header"].encode() == header.partition(b":")[0]


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: 2, 2\r\n",
    ],
)
async def test_a_body_with_two_lengths_is_refused(http_server: HttpServer, headers: bytes) -> None:
    answer = await ask(
        http_server, b"POST /v1/invitations/accept HTTP/1.1\r\n" + HOST + JSON + headers + b"\r\n{}"
    )
    answer.refused(400, "invalid_request")


async def test_another_spelling_of_a_header_is_the_same_header(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    answer = await acme.deployment.http.get(
        "/v1/me",
        headers=[
            ("Authorization", f"Bearer {bob.token}"),
            ("AUTHORIZATION", f"Bearer {acme.administrator.token}"),
        ],
    )
    problem = refused(answer, 400, "duplicate_header")
    assert problem["header"] == "Authorization"
    assert problem["count"] == 2


@pytest.mark.parametrize("query", ["limit=1&limit=1000", "cursor=a&cursor=b", "team=a&team=b"])
async def test_a_single_value_parameter_is_refused_when_it_is_given_twice(
    acme: Organization, query: str
) -> None:
    answer = await acme.administrator.ask("GET", f"{acme.path}/members?{query}")
    problem = refused(answer, 400, "duplicate_parameter")
    assert problem["parameter"] == query.partition("=")[0]
