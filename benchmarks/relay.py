"""A worker that brings in a backlog, as after an outage, against bare writes of the same updates."""

import asyncio
import itertools
import time
from contextlib import suppress

import asyncpg
from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks.baseline import Parts, parts, reference
from benchmarks.environment import Site
from benchmarks.load import Step, drive
from benchmarks.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId

BACKLOGS = (10_000, 100_000, 1_000_000)
"""Positions that wait."""
EACH = 100
"""Positions of each organization."""
WORKERS = 8
FOUND = "INSERT INTO organizations (id, name) SELECT id, 'Bench' FROM unnest($1::text[]) id"
DECIDE = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
SELECT id, ARRAY['TOUCH organization:' || id || '#product@user:u_' || number],
       'system', 'system', 'backlog', 'benchmarks'
FROM unnest($1::text[]) id, generate_series(1, $2::int) number
"""
AT_ONCE = 10
"""Organizations of which one statement makes the backlog."""
LEFT = "SELECT count(*) FROM ledger_applications WHERE status = 'pending'"
DUE = "UPDATE ledger_applications SET due_at = now() WHERE status = 'pending'"


async def measure(site: Site) -> list[Table]:
    """Make a backlog, bring it in, and write as much without us, for larger and larger ones."""
    site.without_us()
    rows: list[Row] = []
    async with (
        open_service(site.settings) as service,
        parts(site) as bare,
        asyncpg.create_pool(site.settings.database_url, min_size=1) as database,
    ):
        for positions in BACKLOGS:
            await _decide(database, positions)
            before = await _bare_rate(bare)
            relayed = await _relay(service, database, positions)
            after = await _bare_rate(bare)
            alone = (before + after) / 2
            rows.append(
                {
                    "waiting": f"{positions:,}",
                    "organizations": f"{positions // EACH:,}",
                    "positions /s": relayed,
                    "bare writes /s": alone,
                    "of bare's speed": relayed / alone,
                }
            )
    return [Table(f"Relay: {EACH} positions of each organization, brought in by one worker", rows)]


async def _decide(database: asyncpg.Pool, positions: int) -> None:
    """Fill the ledger directly: it is as if SpiceDB had been away meanwhile."""
    organizations = [f"relay-{positions}-{number}" for number in range(positions // EACH)]
    with Meter(f"relay, deciding {positions:,}", "positions", positions) as meter:
        for start in range(0, len(organizations), AT_ONCE):
            some = organizations[start : start + AT_ONCE]
            await database.execute(FOUND, some)
            await database.execute(DECIDE, some, EACH)
            meter.step(len(some) * EACH)
        await database.execute(DUE, timeout=600)


async def _relay(service: Service, database: asyncpg.Pool, positions: int) -> float:
    """Return how many positions one worker brings in in a second."""
    working = asyncio.create_task(service.relay.run())
    began, left = time.perf_counter(), positions
    with Meter(f"relay, {positions:,} waiting", "positions", positions) as meter:
        while left:
            await asyncio.sleep(0.5)
            now = await database.fetchval(LEFT)
            meter.step(left - now)
            left = now
    elapsed = time.perf_counter() - began
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    return positions / elapsed


async def _bare_rate(bare: Parts) -> float:
    """Return how many writes of one update several callers get done in a second."""
    numbers = itertools.count()
    mark = f"bare_{time.monotonic_ns()}"

    def writing(organization: OrganizationId) -> Step:
        async def write() -> None:
            await bare.write(organization, [_update(organization, f"{mark}_{next(numbers)}")])

        return write

    run = await drive([writing(OrganizationId(f"bare-{n}")) for n in range(WORKERS)], seconds=5)
    return len(run.steps) / run.elapsed


def _update(organization: OrganizationId, user: str) -> RelationshipUpdate:
    return RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH,
        relationship=Relationship(
            resource=reference("organization", organization),
            relation="product",
            subject=SubjectReference(object=reference("user", user)),
        ),
    )
