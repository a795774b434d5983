"""Requests without a token cost little, however many there are."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import text

from teamaccess.api.cached import Cached
from tests.attacks.connections import HOST, ask, questions
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer
from tests.support.organization import Organization
from tests.support.responses import refused

MOST_MILLISECONDS = 10.0
"""Time of the event loop for one request, on a busy machine."""

ANONYMOUS = [
    ("GET", "/", {}),
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/metrics", {}),
    ("GET", "/schema", {}),
    ("GET", "/schema/openapi.json", {}),
    ("GET", "/schema/openapi.yaml", {}),
    ("GET", "/schema/none", {}),
    ("GET", "/v1/catalog", {}),
    ("GET", "/invitations/accept?token=made-up", {}),
    ("GET", "/made/up", {}),
    ("DELETE", "/healthz", {}),
    ("GET", "/healthz?" + "&".join(f"a{n}=1" for n in range(1000)), {}),
    ("GET", "/healthz?" + "a" * 8000, {}),
    ("GET", "/v1/organizations?" + "limit=1&" * 1000, {}),
    ("GET", "/v1/me", {"headers": {"Authorization": "Bearer " + "x" * 15_000}}),
    ("GET", "/v1/me", {"headers": {"Authorization": "Bearer " + "." * 15_000}}),
    ("GET", "/v1/me", {"headers": {"Authorization": "Bearer ta_" + "x" * 15_000}}),
    ("POST", "/v1/organizations", {"json": {"id": "made-up", "name": "Made up"}}),
    ("POST", "/v1/invitations/accept", {"json": {"token": "x" * 60_000}}),
    ("POST", "/v1/invitations/accept", {"content": b"[" * 60_000}),
    ("POST", "/v1/invitations/accept", {"content": b'{"token":' + b"[" * 60_000}),
    ("POST", "/v1/invitations/accept", {"content": b"{" + b'"a":1,' * 8_000 + b'"b":1}'}),
]


@pytest.mark.parametrize(("method", "path", "more"), ANONYMOUS, ids=lambda each: str(each)[:40])
async def test_an_anonymous_request_uses_little_time_of_the_event_loop(
    fintoc: Deployment, method: str, path: str, more: dict[str, Any]
) -> None:
    spent = []
    for _ in range(6):
        began = time.process_time()
        answer = await fintoc.http.request(method, path, **more)
        spent.append((time.process_time() - began) * 1000)
        assert answer.status_code < 500
    assert min(spent[1:]) < MOST_MILLISECONDS


async def test_any_number_of_scrapes_share_one_database_read(http_server: HttpServer) -> None:
    for path in ("/metrics", "/readyz"):
        request = f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
        with questions(http_server) as asked:
            answers = await asyncio.gather(*(ask(http_server, request) for _ in range(100)))
        assert {each.status for each in answers} == {200}
        # at most two readings, because the first may become too old, of about six statements each
        assert len(asked) <= 14, asked


async def test_concurrent_scrapes_share_a_read_even_if_it_fails() -> None:
    readings = 0
    going_on = asyncio.Event()

    async def read() -> int:
        nonlocal readings
        readings += 1
        await going_on.wait()
        raise OSError("away")

    cached = Cached(read, seconds=60)
    asking = [asyncio.create_task(cached.get()) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()  # a client that disconnects does not affect the others
    going_on.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in results[1:]] == [OSError] * 9
    with pytest.raises(OSError, match="away"):
        await cached.get()
    assert readings == 1


async def test_only_operators_learn_which_organizations_have_stopped(
    http_server: HttpServer, acme: Organization
) -> None:
    """Others see only their number: names and events of a tenant are private."""
    await stop(acme)
    operator = await acme.deployment.operator_person()
    reported = (await operator.ask("GET", "/readyz")).json()["stopped_organizations"]
    assert acme.id in [each["organization"] for each in reported]

    for headers in ({}, {"Authorization": f"Bearer {acme.administrator.token}"}):
        answer = await acme.deployment.http.get("/readyz", headers=headers)
        stopped = answer.json()["stopped_organizations"]
        assert stopped
        assert all(set(each.values()) == {None} for each in stopped)
    for path in ("/readyz", "/metrics", "/", "/schema", "/healthz", "/v1/catalog"):
        assert acme.id not in (await acme.deployment.http.get(path)).text


async def stop(organization: Organization) -> None:
    """Have SpiceDB refuse the next entry of the organization."""
    async with organization.deployment.service.sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO ledger (organization_id, updates, actor, channel, request_id,"
                " catalog_version) VALUES (:id, ARRAY[:update], 'operator:x', 'operator', 'x', 'x')"
            ),
            {
                "id": organization.id,
                "update": f"TOUCH organization:{organization.id}#overlord@user:usr_x",
            },
        )
    await organization.invite("eve", ["support"])  # delivers what is pending first


async def test_invented_paths_and_methods_create_no_metrics(fintoc: Deployment) -> None:
    for number in range(20):
        await fintoc.http.get(f"/made-up-{number}")
        await fintoc.http.get(f"/schema/made-up-{number}")
        await fintoc.http.request(f"MADE-UP-{number}", "/healthz")
        await fintoc.http.get(f"/v1/organizations/made-up-{number}")
    operator = await fintoc.operator_person()
    assert "made-up" not in (await operator.ask("GET", "/metrics")).text.lower()


async def test_an_anonymous_request_opens_no_session(fintoc: Deployment) -> None:
    """Creating an organization authenticates the caller before it opens a transaction."""
    opened = fintoc.service.ledger.change
    object.__setattr__(fintoc.service.ledger, "change", None)
    try:
        answer = await fintoc.http.post("/v1/organizations", json={"id": "acme", "name": "Acme"})
    finally:
        object.__setattr__(fintoc.service.ledger, "change", opened)
    refused(answer, 401, "sign_in_required")


async def test_malformed_requests_log_nothing(
    http_server: HttpServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for raw in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ):
        await ask(http_server, raw)
    assert not caplog.records
    assert capsys.readouterr().out == ""
