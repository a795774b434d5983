"""Connections that PostgreSQL ends: while SQLAlchemy sets them up, and while they are idle."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from teamaccess.ledger import create_pool
from tests.support.deployment import Deployment
from tests.support.spicedb_proxy import wait_until

END = text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:backends AS int[])) AS pid")


async def test_a_connection_cut_during_its_setup_is_an_outage(
    fintoc: Deployment,
) -> None:
    engine = create_pool(fintoc.settings.sqlalchemy_url)
    dialect: Any = engine.dialect
    async with engine.connect() as connection:
        new: Any = (await connection.get_raw_connection()).dbapi_connection
        new.driver_connection.terminate()
        with pytest.raises(ConnectionError, match="connection is closed"):
            # as the pool does with each new one
            await connection.run_sync(lambda _: dialect.on_connect()(new))
        await connection.invalidate()
    await engine.dispose()


async def test_an_ended_connection_is_recognized_without_asking_postgresql(
    fintoc: Deployment,
) -> None:
    engine = create_pool(fintoc.settings.sqlalchemy_url)
    async with engine.connect() as connection:
        new: Any = (await connection.get_raw_connection()).dbapi_connection
        # outside of a greenlet, where nothing can be sent
        assert engine.dialect.do_ping(new)
        new.driver_connection.terminate()
        assert not engine.dialect.do_ping(new)
        await connection.invalidate()
    await engine.dispose()


async def test_a_connection_that_ended_in_the_pool_fails_no_request(fintoc: Deployment) -> None:
    engine = create_pool(fintoc.settings.sqlalchemy_url)
    held = [await engine.connect() for _ in range(6)]
    drivers: list[Any] = [(await each.get_raw_connection()).driver_connection for each in held]
    backends = [each.get_server_pid() for each in drivers]
    for each in held:
        await each.close()

    async with fintoc.service.reads() as session:
        # some of them, so that those which still live are met before and after
        await session.execute(END, {"backends": backends[1::2]})
    await wait_until(lambda: _ended(drivers[1::2]))

    async def ask() -> int:
        async with engine.connect() as connection:
            return int(await connection.scalar(text("SELECT 1")))

    try:
        assert await asyncio.gather(*(ask() for _ in range(6))) == [1] * 6
    finally:
        await engine.dispose()


async def _ended(drivers: list[Any]) -> bool:
    return all(each.is_closed() for each in drivers)
