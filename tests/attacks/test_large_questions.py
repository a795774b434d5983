"""An auditor's questions and plans delay no other tenant, and end when the client disconnects."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from teamaccess.api.requests import throttling
from teamaccess.api.routes import audit as audit_routes
from teamaccess.audit.questions import holders as audit_holders
from teamaccess.common.sharing.loop_share import LoopShare, current_share
from teamaccess.engine import Engine
from tests.attacks.connections import HOST, connected
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer, serve_http
from tests.support.organization import Organization
from tests.support.spicedb_proxy import wait_until


@pytest.fixture
def idle_server(fintoc: Deployment) -> Iterator[HttpServer]:
    """A server in which no request holds a turn."""
    with serve_http(fintoc) as served:
        yield served


@pytest.mark.parametrize("kind", ["matrix", "plan"])
async def test_a_large_question_ends_when_its_client_goes_away(
    idle_server: HttpServer, acme: Organization, kind: str
) -> None:
    ana, sources = acme.administrator, idle_server.service.audit.sources
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    proposal = {"changes": [{"change": "suspend", "user": bob.id}]}
    body = json.dumps(proposal).encode() if kind == "plan" else b""
    method = b"POST" if kind == "plan" else b"GET"
    request = (
        method
        + f" {acme.path}/audit/{kind} HTTP/1.1\r\n".encode()
        + HOST
        + f"Authorization: Bearer {ana.token}\r\nContent-Type: application/json\r\n".encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    turns = sources.sandbox_queue if kind == "plan" else sources.queue

    async def held() -> bool:
        return not turns._callers.idle

    async def ended() -> bool:
        return turns._callers.idle

    # another caller holds the organization's turn, so the question waits
    turns._organizations._take(acme.id, "somebody else")
    try:
        async with connected(idle_server) as connection:
            await connection.send(request)
            await wait_until(held)
        async with asyncio.timeout(10):  # a turn is waited for up to a minute
            await wait_until(ended)
    finally:
        turns._organizations.release(acme.id)


async def test_a_tenants_questions_are_judged_one_after_another_while_others_ask(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question waits for its turn before its caller is authorized, not after."""
    admins = await acme.add_members({f"admin{n}": ["administrator"] for n in range(4)})
    judged, most = 0, 0
    going_on = asyncio.Event()
    monkeypatch.setattr(throttling.FairRequests, "_is_alone", lambda *_: False)

    async def authorize_audit(*given: Any) -> Any:
        nonlocal judged, most
        judged += 1
        most = max(most, judged)
        await going_on.wait()
        judged -= 1
        return acme.id

    monkeypatch.setattr(audit_routes, "authorize_audit", authorize_audit)
    for person in admins.values():  # so that the process knows their tenant
        await person.ask("GET", acme.path)
    asked = [
        asyncio.create_task(person.ask("GET", f"{acme.path}/audit/matrix"))
        for person in admins.values()
    ]

    async def one_is_judged() -> bool:
        return judged == 1

    await wait_until(one_is_judged)
    assert (await globex.administrator.ask("GET", "/v1/me")).status_code == 200
    assert most == 1
    going_on.set()
    assert {each.status_code for each in await asyncio.gather(*asked)} == {200}


@pytest.mark.parametrize(("others", "at_once"), [(False, 8), (True, 2)])
async def test_fewer_questions_are_put_to_spicedb_at_once_while_others_ask(
    monkeypatch: pytest.MonkeyPatch, others: bool, at_once: int
) -> None:
    asking, most = 0, 0

    class Slow:
        async def lookup_subjects(self, *_: object) -> AsyncIterator[str]:
            nonlocal asking, most
            asking += 1
            most = max(most, asking)
            await asyncio.sleep(0)
            yield "usr_a"
            await asyncio.sleep(0)
            asking -= 1

    engine: Engine = Slow()  # type: ignore[assignment]
    places: Any = [("organization:acme", f"action_{n}") for n in range(20)]
    token = current_share.set(LoopShare(lambda: others))
    try:
        found = await audit_holders.find_holders(engine, None, places)  # type: ignore[arg-type]
    finally:
        current_share.reset(token)
    assert list(found.values()) == [{"usr_a"}] * 20
    assert most == at_once
