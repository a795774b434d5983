"""Requests without a known token are served one at a time, and do not delay known callers."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from teamaccess.api.server import pacing
from teamaccess.api.server.pacing import CLIENT_GONE, KnownTokens, PacedApp
from teamaccess.common.sharing import rate_limit
from tests.attacks.connections import HOST, ask, connected
from tests.support.deployment import Deployment
from tests.support.http_server import HttpServer, serve_http
from tests.support.organization import Organization
from tests.support.spicedb_proxy import wait_until

CATALOG = b"GET /v1/catalog HTTP/1.1\r\n" + HOST + b"\r\n"
VALID = b"Bearer valid"
BURST = 5
"""Requests that are served at once: as many as the rate of ten a second allows in half a second."""


class Server:
    """A paced application that answers at once, on a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known = KnownTokens()
        self.paced = PacedApp(self._answer, self.known, per_second=10)
        self.waits: list[float] = []
        self.gone = asyncio.Event()
        self.seconds = 0.0
        """How long a request takes until its answer begins."""
        self._now = 1000.0
        self._asked: list[float] = []
        monkeypatch.setattr("teamaccess.common.sharing.rate_limit.time.monotonic", lambda: 1000.0)
        monkeypatch.setattr(pacing, "monotonic", lambda: self._now)
        monkeypatch.setattr(pacing, "_wait", self._wait)

    async def ask(
        self, *tokens: bytes, path: str = "/v1/me", address: str | None = "10.0.0.1"
    ) -> float:
        """Send a request; return how long it waits before it reaches the application."""
        headers = [(b"host", b"t"), *((b"authorization", token) for token in tokens)]
        client = (address, 4711) if address is not None else None
        self._asked = []
        scope = {
            "type": "http",
            "path": path,
            "headers": headers,
            "client": client,
            CLIENT_GONE: self.gone,
        }
        await self.paced(scope, None, None)
        return self.waits[-1] if self.waits else 0.0

    async def _wait(self, seconds: float, gone: asyncio.Event) -> bool:
        self._asked.append(seconds)
        return gone.is_set()

    async def _answer(self, *_: Any) -> None:
        self.waits.append(sum(self._asked))
        self._now += self.seconds


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


async def test_requests_of_unknown_callers_are_handled_one_at_a_time(server: Server) -> None:
    waits = [await server.ask() for _ in range(BURST + 3)]
    assert waits == pytest.approx([0.0] * BURST + [0.1, 0.2, 0.3])


async def test_a_known_token_does_not_wait(server: Server) -> None:
    for _ in range(50):
        await server.ask()
    server.known.add(VALID)
    assert [await server.ask(VALID) for _ in range(50)] == [0.0] * 50


@pytest.mark.parametrize(
    "tokens",
    [
        [b"Bearer made-up"],
        [b"Bearer valid "],
        [b"bearer valid"],
        [b""],
        [VALID, VALID],
        [VALID, b"Bearer made-up"],
    ],
)
async def test_every_other_authorization_header_is_unknown(
    server: Server, tokens: list[bytes]
) -> None:
    server.known.add(VALID)
    waits = [await server.ask(*tokens) for _ in range(BURST + 1)]
    assert waits[-1] == pytest.approx(0.1)


async def test_a_new_invented_token_each_time_does_not_help(server: Server) -> None:
    waits = [await server.ask(b"Bearer %d" % number) for number in range(BURST + 2)]
    assert waits[-2:] == pytest.approx([0.1, 0.2])


async def test_many_addresses_are_paced_together(server: Server) -> None:
    """As many requests as two of them may send are served without delay."""
    waits = [await server.ask(address=f"10.0.0.{number}") for number in range(2 * BURST + 2)]
    assert waits == pytest.approx([0.0] * 2 * BURST + [0.05, 0.1])


async def test_addresses_of_one_ipv6_network_are_paced_as_one(server: Server) -> None:
    waits = [await server.ask(address=f"2001:db8::{number}") for number in range(BURST + 1)]
    assert waits[-1] == pytest.approx(0.1)


async def test_a_probe_waits_only_for_requests_of_its_address(server: Server) -> None:
    for number in range(100):
        await server.ask(address=f"10.0.0.{number}")
    assert await server.ask(path="/healthz", address="10.0.1.1") == 0.0
    waits = [await server.ask(path="/healthz", address="10.0.1.1") for _ in range(BURST)]
    assert waits[-1] == pytest.approx(0.1)


async def test_the_memory_for_known_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rate_limit, pacing):
        monkeypatch.setattr(module, "MOST_KEYS", 100)
    server = Server(monkeypatch)
    for number in range(1000):
        await server.ask(address=f"10.0.{number // 250}.{number % 250}")
        server.known.add(b"Bearer %d" % number)
    assert len(server.paced._by_address._due) <= 100
    assert len(server.known._known) <= 100
    assert {len(each) for each in server.known._known} == {16}  # hashes, and no token


async def test_turns_of_disconnected_clients_are_returned(server: Server) -> None:
    """Otherwise a flood of short connections would keep all others waiting long after it has ended."""
    server.gone.set()
    for _ in range(500):
        await server.ask()
    assert server.waits == []
    server.gone.clear()
    assert await server.ask() == 0.0


async def test_a_client_that_disconnects_while_waiting_leaves_nothing_behind(
    fintoc: Deployment,
) -> None:
    """Neither a waiting request nor a turn of its own."""
    with serve_http(fintoc, unknown_per_second=2) as slow:
        tasks = slow.server.server_state.tasks

        async def wait() -> bool:
            return len(tasks) > 30

        async def are_gone() -> bool:
            return not tasks

        async with AsyncExitStack() as open_ones:
            for _ in range(40):
                connection = await open_ones.enter_async_context(connected(slow))
                await connection.send(CATALOG)
            await wait_until(wait)
        await wait_until(are_gone, seconds=5)
        async with asyncio.timeout(5):  # 40 turns would take 20 seconds
            assert (await ask(slow, CATALOG)).status == 200


async def test_a_token_is_known_once_it_was_valid_and_not_before(
    http_server: HttpServer, acme: Organization
) -> None:
    paced = http_server.server.config.app
    assert isinstance(paced, PacedApp)
    known = paced._known
    valid, ended = f"Bearer {acme.administrator.token}", "Bearer made-up"
    async with httpx.AsyncClient(base_url=http_server.url) as http:
        for _ in range(2):
            for token, status in ((valid, 200), (ended, 401), (f"{valid}x", 401)):
                answer = await http.get("/v1/me", headers={"Authorization": token})
                assert answer.status_code == status
    assert valid.encode() in known
    assert ended.encode() not in known
    assert f"{valid}x".encode() not in known


async def test_a_flood_of_strangers_does_not_hold_up_a_known_caller(
    fintoc: Deployment, acme: Organization
) -> None:
    with serve_http(fintoc, unknown_per_second=2) as slow:
        tasks = slow.server.server_state.tasks
        token = f"Authorization: Bearer {acme.administrator.token}\r\n".encode()
        mine = b"GET /v1/me HTTP/1.1\r\n" + HOST + token + b"\r\n"
        assert (await ask(slow, mine)).status == 200  # known from now on
        flood = [asyncio.create_task(ask(slow, CATALOG)) for _ in range(20)]

        async def waits() -> bool:
            return len(tasks) > 10

        await wait_until(waits)
        async with asyncio.timeout(4):  # in line behind the flood it would take 10 seconds
            for _ in range(5):
                assert (await ask(slow, mine)).status == 200
        assert not all(each.done() for each in flood)
        for each in flood:
            each.cancel()
        await asyncio.wait(flood)


async def test_slow_requests_of_an_address_come_at_longer_intervals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine, requests at the usual intervals would take all of a process's time."""
    monkeypatch.setattr(pacing, "SHARE", 40.0)
    server = Server(monkeypatch)
    server.seconds = 0.01  # a share of 0.4 s, where requests come every 0.1 s
    waits = [await server.ask() for _ in range(4)]
    assert waits == pytest.approx([0.0, 0.0, 0.4, 0.8])
    assert await server.ask(address="10.0.0.2") == 0.0
    server.seconds = 60.0  # most of it waiting, so it counts as LONGEST_SECONDS
    await server.ask()
    server.seconds = 0.0
    assert await server.ask() == pytest.approx(1.2 + 40 * pacing.LONGEST_SECONDS)


async def test_quick_requests_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch)
    server.seconds = 0.01  # a share of 0.04 s
    assert [await server.ask() for _ in range(7)] == pytest.approx([0.0] * 5 + [0.1, 0.2])
