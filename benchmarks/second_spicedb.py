"""More SpiceDBs in the same PostgreSQL, on the same datastore or on others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import grpc
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks.baseline import Parts
from benchmarks.environment import Site
from teamaccess.local.postgres.server import SPICEDB
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import FRESHNESS_FLAGS, USERSETS_INDEX, LocalSpiceDB

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub


@asynccontextmanager
async def spicedb_beside(
    site: Site,
    parts: Parts,
    name: str,
    database: str = SPICEDB,
    options: Sequence[str] = FRESHNESS_FLAGS,
) -> AsyncIterator[Parts]:
    """Start it, and connect to it instead of ours; everything else is the same."""
    await asyncio.to_thread(site.stack.postgres.create_database, database, SPICEDB)
    another = LocalSpiceDB(
        ensure_spicedb(),
        site.stack.supervisor,
        database_url=site.stack.postgres.url(database, SPICEDB),
        key=site.settings.spicedb_preshared_key.get_secret_value(),
        port=choose_port(0, "SpiceDB", "none"),
    )
    await asyncio.to_thread(another.migrate)
    await asyncio.to_thread(site.stack.postgres.psql, USERSETS_INDEX, database)
    await asyncio.to_thread(another.start, name, options)
    async with grpc.aio.insecure_channel(another.endpoint) as channel:
        engine = cast("PermissionsServiceAsyncStub", PermissionsServiceStub(channel))
        yield replace(parts, engine=engine, endpoint=another.endpoint)
