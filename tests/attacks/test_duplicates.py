"""The same header, parameter or key twice: one of the two would win here, and the other one elsewhere."""

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


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("members?role=support&role=product", "role"),
        ("members?status=active&status=suspended", "status"),
        ("audit/who-can?action=refunds_create&action=links_view", "action"),
        ("audit/who-can?action=links_view&at=2026-01-01T00:00:00Z&at=2026-02-01T00:00:00Z", "at"),
        ("audit/what-can?user=a&user=b", "user"),
        ("audit/why?user=a&action=links_view&basis=decided&basis=enforced", "basis"),
        ("roles?limit=1&l%69mit=2", "limit"),
    ],
)
async def test_a_parameter_of_any_route_is_refused_when_it_is_given_twice(
    acme: Organization, path: str, parameter: str
) -> None:
    answer = await acme.administrator.ask("GET", f"{acme.path}/{path}")
    assert refused(answer, 400, "duplicate_parameter")["parameter"] == parameter


JSON_BODY = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "key"),
    [
        (
            "POST",
            "invitations",
            '{"email": "a@b.example", "email": "c@d.example", "roles": ["support"]}',
            "email",
        ),
        ("POST", "teams", '{"id": "pay", "name": "Pay", "n\\u0061me": "Play"}', "name"),
        (
            "PUT",
            "members/{bob}/roles",
            '{"roles": [{"role": "product", "role": "support"}]}',
            "role",
        ),
        (
            "POST",
            "audit/plan",
            '{"changes": [{"change": "remove", "user": "{bob}", "user": "{ana}"}]}',
            "user",
        ),
        ("POST", "members/{bob}/suspend", '{"reason": "a", "reason": "b"}', "reason"),
    ],
)
async def test_a_key_that_a_body_has_twice_is_refused_and_nothing_changes(
    acme: Organization, method: str, path: str, body: str, key: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    before = await acme.ledger()
    ids = {"{bob}": bob.id, "{ana}": acme.administrator.id}
    for name, id in ids.items():
        path, body = path.replace(name, id), body.replace(name, id)

    answer = await acme.administrator.ask(
        method, f"{acme.path}/{path}", content=body.encode(), headers=JSON_BODY
    )

    problem = refused(answer, 400, "duplicate_key")
    assert (problem["key"], problem["count"]) == (key, 2)
    assert await acme.ledger() == before
