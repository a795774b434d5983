"""The cost for a check of a revision that is at most half a second old instead of five."""

import asyncio
import itertools

from benchmarks.checks import CHANGES_A_SECOND, FRESHNESS, MEMBERS, CheckWorker, change, changing
from benchmarks.support import background_data, population
from benchmarks.support.bare_stack import bare_stack
from benchmarks.support.environment import Environment
from benchmarks.support.load import Step, interleave, ratio
from benchmarks.support.report import Row, Table
from benchmarks.support.second_spicedb import second_spicedb
from teamaccess.service import open_service


async def measure(environment: Environment) -> list[Table]:
    """Check in two SpiceDBs on one full datastore in turns, without changes and while roles change."""
    rows: list[Row] = []
    async with (
        open_service(environment.settings) as service,
        bare_stack(environment) as ours,
        second_spicedb(environment, ours, "spicedb_at_defaults", options=()) as at_defaults,
    ):
        id = await population.create_organization(service)
        users = await population.add_members(service, id, "support", MEMBERS)
        await asyncio.to_thread(background_data.fill, environment)
        await change(ours, id, 0)
        for changes, (name, fresh), workers in itertools.product(
            (0, CHANGES_A_SECOND), FRESHNESS.items(), (1, 8)
        ):
            loads: list[list[Step]] = [
                [CheckWorker(each, id, users[worker::workers], fresh) for worker in range(workers)]
                for each in (ours, at_defaults)
            ]
            title = f"quantization, {name}, {workers} at once, {changes} changes a second"
            async with changing(ours, id, changes):
                our_figures, default_figures = await interleave(title, *loads)
            slower = ratio(our_figures, default_figures)
            rows.append(
                {
                    "freshness": name,
                    "callers": str(workers),
                    "changes /s": str(changes),
                    "ratio": slower.median,
                    "of rounds": slower.spread,
                    "median ms": our_figures.median_ms,
                    "p95 ms": our_figures.p95_ms,
                    "defaults' median ms": default_figures.median_ms,
                    "defaults' p95 ms": default_figures.p95_ms,
                }
            )
    return [Table("Quantization: a check at 500 ms against SpiceDB's default of 5 s", rows)]
