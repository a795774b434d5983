"""A second SpiceDB on the same datastore, with as old a cheapest answer as SpiceDB's defaults allow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import grpc
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks.bare import Parts
from benchmarks.site import Site
from teamaccess.local.postgres import SPICEDB
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb import LocalSpiceDB
from teamaccess.local.spicedb_build import ensure_spicedb

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub


@asynccontextmanager
async def spicedb_at_defaults(site: Site, parts: Parts) -> AsyncIterator[Parts]:
    """Start it, and connect to it instead of ours; everything else is the same."""
    second = LocalSpiceDB(
        ensure_spicedb(),
        site.stack.supervisor,
        database_url=site.stack.postgres.url(SPICEDB, SPICEDB),
        key=site.settings.spicedb_preshared_key.get_secret_value(),
        port=choose_port(0, "SpiceDB", "none"),
    )
    await asyncio.to_thread(second.start, "spicedb_at_defaults", freshness=())
    async with grpc.aio.insecure_channel(second.endpoint) as channel:
        engine = cast("PermissionsServiceAsyncStub", PermissionsServiceStub(channel))
        yield replace(parts, engine=engine)
