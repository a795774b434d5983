"""Connections to Fintoc's database that do not use the application's code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from teamaccess.ledger import create_pool
from teamaccess.local.postgres.server import OWNER, SUPERUSER
from tests.support.deployment import Deployment
from tests.support.intruder import Intruder
from tests.support.organization import Organization

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # which knows its parameter in the stubs alone


@pytest.fixture
async def application_connection(fintoc: Deployment) -> AsyncIterator[Connection]:
    """Signed in as the application, without its code."""
    async with connected(fintoc.settings.database_url) as connection:
        yield connection


@pytest.fixture
async def owner_connection(fintoc: Deployment) -> AsyncIterator[Connection]:
    """Signed in as the owner of the tables."""
    async with connected(fintoc.owner_url) as connection:
        yield connection


@pytest.fixture
async def superuser_connection(fintoc: Deployment) -> AsyncIterator[Connection]:
    """Connected as a superuser. Only hashes reveal what this role changes."""
    async with connected(fintoc.owner_url.replace(OWNER, SUPERUSER, 1)) as connection:
        yield connection


@pytest.fixture
async def intruder(fintoc: Deployment) -> AsyncIterator[Intruder]:
    """A superuser with triggers disabled. Their changes are undone after the test."""
    url = fintoc.owner_url.replace(OWNER, SUPERUSER, 1).partition("://")[2]
    engine = create_pool(f"postgresql+asyncpg://{url}", connections=1)
    async with engine.connect() as connection:
        intruder = Intruder(connection)
        await intruder.do("SET LOCAL session_replication_role = replica")
        yield intruder
        await connection.rollback()
    await engine.dispose()


@pytest.fixture(scope="module")
async def history(fintoc: Deployment) -> Organization:
    """An organization with a few changes. Tests must leave it as it was."""
    return await create_history(fintoc)


async def create_history(deployment: Deployment) -> Organization:
    """Create an organization with a few changes."""
    organization = await deployment.create_organization("history")
    bob = await organization.member("bob", roles=["product"])
    await organization.change_roles(bob, "support")
    for verb in ("suspend", "reactivate", "remove"):
        await organization.change_status(verb, bob)
    return organization


async def run_transaction(connection: Connection, *statements: str) -> None:
    """Run the statements and commit."""
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection to a database by its URL."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
