"""What it costs a check that its cheapest answer is half a second old at most, and not five."""

import asyncio
import itertools

from benchmarks import background_data, population
from benchmarks.baseline import parts
from benchmarks.checks import CHANGES_A_SECOND, FRESHNESS, MEMBERS, Checking, change, changing
from benchmarks.environment import Site
from benchmarks.load import Step, interleave, ratio
from benchmarks.report import Row, Table
from benchmarks.second_spicedb import spicedb_beside
from teamaccess.service import open_service


async def measure(site: Site) -> list[Table]:
    """Ask two SpiceDBs on the same full datastore in turns, while nothing changes and while roles do."""
    rows: list[Row] = []
    async with (
        open_service(site.settings) as service,
        parts(site) as ours,
        spicedb_beside(site, ours, "spicedb_at_defaults", options=()) as theirs,
    ):
        id = await population.organization(service)
        users = await population.join(service, id, "support", MEMBERS)
        await asyncio.to_thread(background_data.fill, site)
        await change(ours, id, 0)
        for changes, (name, fresh), workers in itertools.product(
            (0, CHANGES_A_SECOND), FRESHNESS.items(), (1, 8)
        ):
            loads: list[list[Step]] = [
                [Checking(each, id, users[worker::workers], fresh) for worker in range(workers)]
                for each in (ours, theirs)
            ]
            title = f"quantization, {name}, {workers} at once, {changes} changes a second"
            async with changing(ours, id, changes):
                mine, defaults = await interleave(title, *loads)
            compared = ratio(mine, defaults)
            rows.append(
                {
                    "freshness": name,
                    "callers": str(workers),
                    "changes /s": str(changes),
                    "ratio": compared.median,
                    "of rounds": compared.spread,
                    "median ms": mine.median_ms,
                    "p95 ms": mine.p95_ms,
                    "defaults' median ms": defaults.median_ms,
                    "defaults' p95 ms": defaults.p95_ms,
                }
            )
    return [Table("Quantization: a check at 500 ms against SpiceDB's default of 5 s", rows)]
