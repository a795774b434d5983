"""A connection dies and nobody says so: the request that meets it is answered, a little later."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from teamaccess.common.postgres import silence
from teamaccess.engine import EngineUnavailable, ObservedWrite
from teamaccess.local.postgres.server import PORT
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.proxy import Proxy
from tests.support.spicedb_proxy import another_process, served_by

SHORT_SECONDS = 6.0
"""A sign of life takes 1 or 1.5 seconds, and the machine of the tests may be busy. Without it, a request
waits until its time is over, and the connection stays dead for a quarter of an hour."""


@asynccontextmanager
async def firewalled(fintoc: Deployment) -> AsyncIterator[tuple[Deployment, Proxy, Proxy]]:
    """A second process that reaches PostgreSQL and SpiceDB through proxies, which are returned too."""
    host, _, port = fintoc.settings.spicedb_endpoint.rpartition(":")
    url = make_url(fintoc.settings.database_url)
    server = Path(str(url.query["host"])) / f".s.PGSQL.{PORT}"
    async with (
        _listening(Proxy(("127.0.0.1", 0), server)) as database,
        _listening(Proxy(("127.0.0.1", 0), (host, int(port)))) as spicedb,
    ):
        through = f"postgresql://{url.username}@{database.endpoint}/{url.database}"
        async with another_process(
            fintoc, database_url=through, spicedb_endpoint=spicedb.endpoint
        ) as second:
            yield second, database, spicedb


async def test_a_change_survives_connections_to_postgresql_that_died_silently(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with firewalled(acme.deployment) as (second, database, _):
        here = served_by(second, acme)
        bob = await here.member("bob", roles=["support"])
        monkeypatch.setattr(silence, "UNUSED_SECONDS", 0.0)
        database.silence()
        with _soon():
            changed = await here.change_roles(bob, "developer")
        assert changed.status_code == 200, changed.text
        with _soon():
            assert (await here.change_roles(bob, "support")).status_code == 200


async def test_a_change_survives_a_connection_to_spicedb_that_died_silently(
    acme: Organization,
) -> None:
    async with firewalled(acme.deployment) as (second, _, spicedb):
        here = served_by(second, acme)
        bob = await here.member("bob", roles=["support"])
        spicedb.silence()
        with _soon():
            changed = await here.change_roles(bob, "developer")
        assert changed.status_code == 200, changed.text
        with _soon():
            assert (await here.change_roles(bob, "support")).status_code == 200


async def test_a_watch_that_died_silently_ends(fintoc: Deployment) -> None:
    async with firewalled(fintoc) as (second, _, spicedb):
        watching = second.service.engine.watch()
        await anext(watching)
        spicedb.silence()
        with _soon(), pytest.raises(EngineUnavailable):
            await _to_the_end(watching)


async def test_the_system_gives_up_a_connection_that_dies_during_a_query(
    fintoc: Deployment,
) -> None:
    """No program can hold back what the system acknowledges, so this looks at the options."""
    async with firewalled(fintoc) as (second, _, _), second.service.reads() as session:
        connection: Any = await (await session.connection()).get_raw_connection()
        endpoint = connection.driver_connection._transport.get_extra_info("socket")
        assert endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in silence.SOCKET_OPTIONS.items():
            if (option := getattr(socket, name, None)) is not None:
                assert endpoint.getsockopt(socket.IPPROTO_TCP, option) == value


async def _to_the_end(watching: AsyncIterator[ObservedWrite]) -> None:
    async with asyncio.timeout(SHORT_SECONDS):
        async for _ in watching:
            pass


@contextmanager
def _soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SHORT_SECONDS


@asynccontextmanager
async def _listening(proxy: Proxy) -> AsyncIterator[Proxy]:
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.refuse()
