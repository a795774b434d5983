"""Alembic's entry point: runs the migrations over one asyncpg connection."""

import asyncio

from alembic import context
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from teamaccess.common.postgres.connect import connect as postgres_connect
from teamaccess.storage.base import Base


def run(connection: Connection) -> None:
    """Run the migrations in one transaction."""
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def connect() -> None:
    """Connect as the owner of the tables and migrate."""
    url = make_url(context.config.attributes["url"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, connect_args={"async_creator_fn": postgres_connect})
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


asyncio.run(connect())
