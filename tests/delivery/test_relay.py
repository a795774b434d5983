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
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.proxy import Proxy
from tests.support.spicedb_proxy import Writes, behind_proxy, served_by, wait_until

SOCKET = ".s.PGSQL.5432"
FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTTING_DOWN = b"E" + struct.pack("!i", len(FIELDS) + 4) + FIELDS
"""PostgreSQL's message on each connection before it closes it."""
LISTENING = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")


@pytest.fixture
async def wire(fintoc: Deployment, tmp_path: Path) -> AsyncIterator[Proxy]:
    """A proxy between a relay and PostgreSQL."""
    [server] = parse_qs(urlsplit(fintoc.settings.database_url).query)["host"]
    wire = Proxy(tmp_path / SOCKET, Path(server) / SOCKET)
    await wire.accept()
    yield wire
    await wire.refuse()


@pytest.fixture
async def relay_pool(fintoc: Deployment, tmp_path: Path, wire: Proxy) -> AsyncIterator[AsyncEngine]:
    """A pool for the relay whose connections go through the wire."""
    others, _, _ = fintoc.settings.sqlalchemy_url.partition("?")
    relay_pool = create_pool(f"{others}?host={tmp_path}", transactions=False)
    yield relay_pool
    await relay_pool.dispose()


async def test_an_announced_shutdown_is_an_ordinary_outage(
    acme: Organization, fintoc: Deployment, wire: Proxy, relay_pool: AsyncEngine
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy), relaying(second, relay_pool) as relay:
        await wait_until(lambda: _listening(acme))
        wire.send_as_server(SHUTTING_DOWN)
        # meanwhile it queries on a connection that is about to close
        await asyncio.sleep(2 * POLL_SECONDS)
        await wire.disconnect()
        proxy.writes = Writes.FAIL
        late = await served_by(second, acme).suspend(bob)
        assert late.status_code == 202
        proxy.writes = Writes.ARRIVE
        await wait_until(lambda: _has_lost_the_action(acme, bob.id))
        assert not relay.done()


@asynccontextmanager
async def relaying(
    deployment: Deployment, relay_pool: AsyncEngine
) -> AsyncIterator[asyncio.Task[None]]:
    """A separate relay beside the API."""
    relay = asyncio.create_task(Relay(deployment.service.applier, relay_pool).run())
    try:
        yield relay
    finally:
        relay.cancel()
        await asyncio.wait([relay])


async def _listening(organization: Organization) -> bool:
    async with organization.deployment.service.sessions() as session:
        return bool(await session.scalar(LISTENING))


async def _has_lost_the_action(organization: Organization, user: str) -> bool:
    return not await organization.deployment.check(organization.id, user, "webhooks_send_test")
