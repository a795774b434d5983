"""HEAD is answered as GET is, without a body, and changes nothing."""

import httpx
import pytest

from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer
from tests.support.organization import Organization

READ = sorted((route for route in routes() if route.method == "GET"), key=str)
WRITTEN = [route for route in sorted(routes(), key=str) if Route("GET", route.path) not in READ]
UNLISTED = ["/schema", "/schema/openapi.yaml", "/metrics"]
"""Paths that the description of the API leaves out."""


@pytest.fixture(scope="module")
async def targets(fintoc: Deployment) -> RequestTargets:
    """An organization with something behind every path. No test here changes it."""
    return await RequestTargets.create(await fintoc.create_organization("acme"))


@pytest.mark.parametrize("route", READ, ids=str)
async def test_head_is_answered_as_get_without_a_body(
    targets: RequestTargets, route: Route
) -> None:
    caller = targets.organization.administrator
    got = await targets.ask(route, caller)
    asked = await caller.ask("HEAD", targets.url(route))

    assert asked.status_code == got.status_code == VALID_REQUESTS[route].success
    assert asked.content == b""
    assert asked.headers["Content-Type"] == got.headers["Content-Type"]
    assert asked.headers.get("ETag") == got.headers.get("ETag")
    assert asked.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", UNLISTED)
async def test_head_is_answered_for_pages_that_no_client_needs(
    acme: Organization, path: str
) -> None:
    asked = await acme.deployment.http.head(path)
    assert (asked.status_code, asked.content) == (200, b"")


async def test_the_link_of_a_mail_answers_head_and_the_invitation_stays_pending(
    acme: Organization,
) -> None:
    await acme.invite("bob", ["support"])
    token = acme.deployment.invitation_token(acme.address("bob"))
    before, events = await acme.ledger(), len(await acme.events())

    asked = await acme.deployment.http.head("/invitations/accept", params={"token": token})

    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["Content-Type"].startswith("text/plain")
    assert (await acme.ledger(), len(await acme.events())) == (before, events)
    assert (await acme.accept("bob")).status_code == 200


async def test_head_is_refused_as_get_is(acme: Organization, globex: Organization) -> None:
    for path, caller in ((f"{acme.path}/members", globex.administrator), ("/v1/nothing", None)):
        if caller is None:
            got = await acme.deployment.http.get(path)
            asked = await acme.deployment.http.head(path)
        else:
            got, asked = await caller.ask("GET", path), await caller.ask("HEAD", path)
        assert (asked.status_code, asked.content) == (got.status_code, b"") == (404, b"")


async def test_a_path_that_only_changes_something_refuses_head(targets: RequestTargets) -> None:
    organization = targets.organization
    before = await organization.ledger()
    for route in WRITTEN:
        asked = await organization.administrator.ask("HEAD", targets.url(route))
        assert (asked.status_code, asked.content) == (405, b""), route
    assert await organization.ledger() == before


async def test_the_server_sends_the_length_of_the_page_and_no_page(
    http_server: HttpServer,
) -> None:
    async with httpx.AsyncClient() as client:
        url = f"{http_server.url}/invitations/accept"
        got = await client.get(url)
        asked = await client.head(url)
        assert asked.headers["Content-Length"] == str(len(got.content))
        assert asked.content == b""
        assert (await client.get(f"{http_server.url}/healthz")).json() == {"status": "ok"}
