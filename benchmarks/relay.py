"""A worker that delivers a backlog, as after an outage, against bare writes of the same updates."""

import asyncio
import itertools
import time
from contextlib import suppress

import asyncpg
from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import Step, drive
from benchmarks.support.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId

BACKLOGS = (10_000, 100_000, 1_000_000)
"""Pending positions."""
EACH = 100
"""Positions of each organization."""
WORKERS = 8
CREATE = "INSERT INTO organizations (id, name) SELECT id, 'Bench' FROM unnest($1::text[]) id"
DECIDE = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
SELECT id, ARRAY['TOUCH organization:' || id || '#product@user:u_' || number],
       'system', 'system', 'backlog', 'benchmarks'
FROM unnest($1::text[]) id, generate_series(1, $2::int) number
"""
AT_ONCE = 10
"""Organizations whose backlog one statement creates."""
LEFT = "SELECT count(*) FROM ledger_applications WHERE status = 'pending'"
DUE = "UPDATE ledger_applications SET due_at = now() WHERE status = 'pending'"


async def measure(environment: Environment) -> list[Table]:
    """Deliver larger and larger backlogs, and write as many updates directly."""
    environment.stop_api_and_worker()
    rows: list[Row] = []
    async with (
        open_service(environment.settings) as service,
        bare_stack(environment) as bare,
        asyncpg.create_pool(environment.settings.database_url, min_size=1) as database,
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
    return [Table(f"Relay: {EACH} positions of each organization, delivered by one worker", rows)]


async def _decide(database: asyncpg.Pool, positions: int) -> None:
    """Insert the entries directly, so that they are pending as after an outage of SpiceDB."""
    organizations = [f"relay-{positions}-{number}" for number in range(positions // EACH)]
    with Meter(f"relay, deciding {positions:,}", "positions", positions) as meter:
        for start in range(0, len(organizations), AT_ONCE):
            some = organizations[start : start + AT_ONCE]
            await database.execute(CREATE, some)
            await database.execute(DECIDE, some, EACH)
            meter.step(len(some) * EACH)
        await database.execute(DUE, timeout=600)


async def _relay(service: Service, database: asyncpg.Pool, positions: int) -> float:
    """Return how many positions one worker delivers per second."""
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


async def _bare_rate(bare: BareStack) -> float:
    """Return how many writes of one update several callers complete per second."""
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
