"""A relay whose own connections to PostgreSQL are lost goes on with others."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.delivery.relay import POLL_SECONDS, Relay
from teamaccess.ledger import create_pool
from tests.support.proxy import Proxy
from tests.support.spicedb_proxy import Writes, linked, through, until
from tests.support.world import Team, World

SOCKET = ".s.PGSQL.5432"
FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTTING_DOWN = b"E" + struct.pack("!i", len(FIELDS) + 4) + FIELDS
"""What PostgreSQL says on each connection before it closes it."""
LISTENING = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")


@pytest.fixture
async def wire(fintoc: World, tmp_path: Path) -> AsyncIterator[Proxy]:
    """Between a relay and PostgreSQL."""
    [server] = parse_qs(urlsplit(fintoc.settings.database_url).query)["host"]
    wire = Proxy(tmp_path / SOCKET, Path(server) / SOCKET)
    await wire.accept()
    yield wire
    await wire.refuse()


@pytest.fixture
async def marks(fintoc: World, tmp_path: Path, wire: Proxy) -> AsyncIterator[AsyncEngine]:
    """What the relay looks with, over the wire."""
    theirs, _, _ = fintoc.settings.sqlalchemy_url.partition("?")
    marks = create_pool(f"{theirs}?host={tmp_path}", transactions=False)
    yield marks
    await marks.dispose()


async def test_a_shutdown_that_is_announced_is_an_outage_like_any_other(
    acme: Team, fintoc: World, wire: Proxy, marks: AsyncEngine
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link), relaying(second, marks) as relay:
        await until(lambda: _listening(acme))
        wire.announce(SHUTTING_DOWN)
        await asyncio.sleep(2 * POLL_SECONDS)  # it has looked, on what is all but closed
        await wire.tear()
        link.writes = Writes.FAIL
        late = await through(second, acme).act("suspend", bob)
        assert late.status_code == 202
        link.writes = Writes.ARRIVE
        await until(lambda: _cannot(acme, bob.id))
        assert not relay.done()


@asynccontextmanager
async def relaying(world: World, marks: AsyncEngine) -> AsyncIterator[asyncio.Task[None]]:
    """A relay of its own, beside the API."""
    relay = asyncio.create_task(Relay(world.service.applier, marks).run())
    try:
        yield relay
    finally:
        relay.cancel()
        await asyncio.wait([relay])


async def _listening(team: Team) -> bool:
    async with team.world.service.sessions() as session:
        return bool(await session.scalar(LISTENING))


async def _cannot(team: Team, user: str) -> bool:
    return not await team.world.check(team.id, user, "webhooks_send_test")
