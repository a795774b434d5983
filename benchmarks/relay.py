"""A worker that brings in a backlog, as after an outage, against bare writes of the same updates."""

import asyncio
import itertools
import time
from contextlib import suppress

import asyncpg
from authzed.api.v1 import Relationship, RelationshipUpdate, SubjectReference

from benchmarks import population
from benchmarks.bare import Parts, parts, reference
from benchmarks.load import Step, drive
from benchmarks.report import Row, Table
from benchmarks.site import Site
from teamaccess.local.progress import Meter
from teamaccess.models import OrganizationId
from teamaccess.service import Service, open_service

BACKLOGS = (10_000, 100_000, 1_000_000)
"""Positions that wait."""
ORGANIZATIONS = 100
WORKERS = 8
DECIDE = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
SELECT $1, ARRAY['TOUCH organization:' || $1 || '#product@user:' || $2 || '_' || number],
       'system', 'system', 'backlog', 'benchmarks'
FROM generate_series(1, $3::int) number
"""
LEFT = "SELECT count(*) FROM ledger_applications WHERE status = 'pending'"
DUE = "UPDATE ledger_applications SET due_at = now() WHERE status = 'pending'"


async def measure(site: Site) -> list[Table]:
    """Make a backlog, bring it in, and write as much without us, for larger and larger ones."""
    rows: list[Row] = []
    async with (
        open_service(site.settings) as service,
        parts(site) as bare,
        asyncpg.create_pool(site.settings.database_url, min_size=1) as database,
    ):
        organizations = [await population.organization(service) for _ in range(ORGANIZATIONS)]
        for positions in BACKLOGS:
            await _decide(database, organizations, positions)
            before = await _bare_rate(bare)
            relayed = await _relay(service, database, positions)
            after = await _bare_rate(bare)
            alone = (before + after) / 2
            rows.append(
                {
                    "waiting": f"{positions:,}",
                    "positions /s": relayed,
                    "bare writes /s": alone,
                    "of bare's speed": relayed / alone,
                }
            )
    title = f"Relay: positions of {ORGANIZATIONS} organizations, brought in by one worker"
    return [Table(title, rows)]


async def _decide(
    database: asyncpg.Pool, organizations: list[OrganizationId], positions: int
) -> None:
    each = positions // len(organizations)
    with Meter(f"relay, deciding {positions:,}", "organizations", len(organizations)) as meter:
        for organization in organizations:
            await database.execute(DECIDE, organization, f"u{positions}", each, timeout=600)
            meter.step()
        await database.execute(DUE, timeout=600)


async def _relay(service: Service, database: asyncpg.Pool, positions: int) -> float:
    """Return how many positions one worker brings in in a second."""
    working = asyncio.create_task(service.relay.run())
    began, left = time.perf_counter(), positions
    with Meter(f"relay, {positions:,} waiting", "positions", positions) as meter:
        while left:
            await asyncio.sleep(0.25)
            now = await database.fetchval(LEFT)
            for _ in range(left - now):
                meter.step()
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
