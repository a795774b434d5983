"""Connections to the fintoc database that know nothing of the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from teamaccess.local.postgres import OWNER, SUPERUSER
from tests.world import World

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # which knows its parameter in the stubs alone


@pytest.fixture
async def application(fintoc: World) -> AsyncIterator[Connection]:
    """Signed in as the application, without its code."""
    async with _connected(fintoc.settings.database_url) as connection:
        yield connection


@pytest.fixture
async def owner(fintoc: World) -> AsyncIterator[Connection]:
    """Signed in as the owner of the tables."""
    async with _connected(fintoc.owner_url) as connection:
        yield connection


@pytest.fixture
async def superuser(fintoc: World) -> AsyncIterator[Connection]:
    """Signed in as who may do anything, and whom only the hashes give away."""
    async with _connected(fintoc.owner_url.replace(OWNER, SUPERUSER, 1)) as connection:
        yield connection


async def transaction(connection: Connection, *statements: str) -> None:
    """Run the statements and commit."""
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
