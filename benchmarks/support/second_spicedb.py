"""A second SpiceDB in the same PostgreSQL, on the same datastore or on another one."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import grpc
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks.support.bare_stack import BareStack
from benchmarks.support.environment import Environment
from teamaccess.local.postgres.server import SPICEDB
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import FRESHNESS_FLAGS, USERSETS_INDEX, LocalSpiceDB
from teamaccess.upkeep.datastore import STATEMENT_CACHE

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub


@asynccontextmanager
async def second_spicedb(
    environment: Environment,
    bare: BareStack,
    name: str,
    database: str = SPICEDB,
    options: Sequence[str] = FRESHNESS_FLAGS,
    parameters: Mapping[str, str] = STATEMENT_CACHE,
) -> AsyncIterator[BareStack]:
    """Start it, and return a bare stack that uses it instead of our SpiceDB."""
    await asyncio.to_thread(environment.stack.postgres.create_database, database, SPICEDB)
    another = LocalSpiceDB(
        ensure_spicedb(),
        environment.stack.supervisor,
        database_url=environment.stack.postgres.url(database, SPICEDB),
        key=environment.settings.spicedb_preshared_key.get_secret_value(),
        port=choose_port(0, "SpiceDB", "none"),
        parameters=parameters,
    )
    await asyncio.to_thread(another.migrate)
    await asyncio.to_thread(environment.stack.postgres.psql, USERSETS_INDEX, database)
    await asyncio.to_thread(another.start, name, options)
    async with grpc.aio.insecure_channel(another.endpoint) as channel:
        engine = cast("PermissionsServiceAsyncStub", PermissionsServiceStub(channel))
        yield replace(bare, engine=engine, endpoint=another.endpoint)
