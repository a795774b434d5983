"""More connections than a process can have, and more than one address may have."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from teamaccess.api.server import ConnectionLimits, TooFewDescriptors
from teamaccess.api.server.gate import ConnectionGate, counted_address
from teamaccess.common.configuration.settings import PREFIX
from tests.attacks.connections import HOST, ask, connected
from tests.support.deployment import Deployment
from tests.support.http_server import serve_http
from tests.support.spicedb_proxy import wait_until

GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
HALF = b"POST /v1/invitations/accept HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{"
DESCRIPTORS = 256
NEEDED_DESCRIPTORS = 32
"""Descriptors that must remain for PostgreSQL and SpiceDB."""


@dataclass(frozen=True)
class SmallProcess:
    """A `teamaccess serve` that may open few files."""

    process: psutil.Process
    port: int
    log: Path

    async def get(self, path: str) -> httpx.Response | None:
        """Send a request on a new connection. Return None if there is no answer."""
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                return await client.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx.HTTPError:
            return None

    async def is_ready(self) -> bool:
        """Whether it answers a new client, and reaches PostgreSQL and SpiceDB."""
        answer = await self.get("/readyz")
        return answer is not None and answer.status_code == 200

    @property
    def descriptors(self) -> int:
        """How many files it has open."""
        return self.process.num_fds()

    @property
    def memory(self) -> int:
        """How many bytes of memory it takes."""
        return int(self.process.memory_info().rss)


@pytest.fixture(scope="module")
def small(fintoc: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallProcess]:
    """A process with 256 descriptors that waits two seconds for bytes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = fintoc.settings
    ours = {
        "HOME": str(settings.home),
        "CATALOG": settings.catalog,
        "DATABASE_URL": settings.database_url,
        "SPICEDB_ENDPOINT": settings.spicedb_endpoint,
        "SPICEDB_PRESHARED_KEY": settings.spicedb_preshared_key.get_secret_value(),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "MAIL": "file",
        "FIRST_BYTE_SECONDS": "2",
        "REQUEST_SECONDS": "2",
    }
    environment = os.environ | {PREFIX + name: value for name, value in ours.items()}
    serve = f"ulimit -n {DESCRIPTORS} && exec {sys.executable} -m teamaccess serve --port {port}"
    log = tmp_path_factory.mktemp("small") / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["bash", "-c", serve], env=environment, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield SmallProcess(psutil.Process(process.pid), port, log)
        finally:
            process.terminate()


async def test_silent_and_half_open_requests_do_not_exhaust_file_descriptors(
    small: SmallProcess,
) -> None:
    await wait_until(small.is_ready)
    with ExitStack() as held:
        for number in range(300):
            client = socket.create_connection(("127.0.0.1", small.port))
            held.enter_context(client)
            if number % 2:
                client.sendall(HALF)
            if number % 50 == 49:
                assert small.descriptors < DESCRIPTORS - NEEDED_DESCRIPTORS
        full = await small.get("/healthz")
        assert full is not None
        assert full.json()["code"] == "too_many_connections"
        assert full.status_code == 503
        assert int(full.headers["Retry-After"]) > 0
        await wait_until(small.is_ready)  # while the attacker still holds its ends
    assert "Too many open files" not in small.log.read_text()


async def test_many_simultaneous_connections_do_not_exhaust_file_descriptors(
    small: SmallProcess,
) -> None:
    await wait_until(small.is_ready)
    most = 0

    async def knock() -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", small.port)
            line = await reader.readline()
            writer.close()
        except ConnectionError:
            return b"reset"
        return line

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, small.descriptors)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    reported = await asyncio.gather(*(knock() for _ in range(600)))
    watching.cancel()

    assert b"HTTP/1.1 503 Service Unavailable\r\n" in reported
    assert most < DESCRIPTORS
    await wait_until(small.is_ready)
    assert "Too many open files" not in small.log.read_text()


async def test_endless_headers_use_no_memory(small: SmallProcess) -> None:
    """Twenty connections each send 5 MB of one header. The server must not keep it until it ends."""
    await wait_until(small.is_ready)
    before = small.memory

    async def flood() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", small.port)
        writer.write(b"GET / HTTP/1.1\r\nX-Endless: ")
        try:
            for _ in range(50):
                writer.write(b"x" * 100_000)
                await writer.drain()
        except ConnectionError:
            pass
        writer.transport.abort()

    await asyncio.gather(*(flood() for _ in range(20)))

    assert small.memory - before < 20_000_000


async def test_one_address_cannot_use_all_connections(fintoc: Deployment) -> None:
    with serve_http(fintoc, connections=10) as http_server:
        async with AsyncExitStack() as silent:
            for _ in range(5):
                await silent.enter_async_context(connected(http_server))
            (await ask(http_server, GET)).refused(503, "too_many_connections")
            reader, writer = await asyncio.open_connection(
                http_server.host, http_server.port, local_addr=("127.0.0.2", 0)
            )
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

        async def admitted() -> bool:
            return (await ask(http_server, GET)).status == 200

        await wait_until(admitted)


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert counted_address(("2001:db8::1", 1)) == counted_address(("2001:db8::ffff:1", 2))
    assert counted_address(("2001:db8:0:1::1", 1)) != counted_address(("2001:db8::1", 2))
    assert counted_address(("::ffff:10.0.0.1", 1)) == counted_address(("10.0.0.1", 2)) == "10.0.0.1"


def test_a_process_with_too_few_file_descriptors_reports_it(
    fintoc: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 100))
    with pytest.raises(TooFewDescriptors, match=re.escape("ulimit -n")):
        ConnectionLimits.of(fintoc.settings, 1)


def test_a_connection_that_is_gone_leaves_its_place_to_another(fintoc: Deployment) -> None:
    gate = ConnectionGate(
        ConnectionLimits.of(fintoc.settings.model_copy(update={"connections": 2}), 1)
    )
    assert gate.admit("a")
    assert not gate.admit("a")
    assert gate.admit("b")
    assert not gate.admit("c")
    gate.release("a")
    assert gate.admit("c")
