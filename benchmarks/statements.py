"""How SpiceDB sends its statements: as text, prepared, or prepared and planned each time."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from statistics import median

from benchmarks.paths import PATHS, UNCACHED, PathCheckWorker
from benchmarks.support.bare_stack import BareStack, bare_stack
from benchmarks.support.environment import Environment
from benchmarks.support.load import Figures, Step, interleave, ratio
from benchmarks.support.report import Row, Table
from benchmarks.support.second_spicedb import second_spicedb
from teamaccess.catalog import compile_schema, load_catalog
from teamaccess.engine import Engine
from teamaccess.local.spicedb.server import FRESHNESS_FLAGS
from teamaccess.upkeep.datastore import STATEMENT_CACHE

SMALL, GROWN = 100, 100_000
"""Members of the checked organization before and after it grows."""
AS_TEXT, PREPARED, PLANNED = "text", "prepared_alone", "prepared_and_planned"
CASES: Mapping[str, Mapping[str, str]] = {
    AS_TEXT: {},
    PREPARED: {"default_query_exec_mode": STATEMENT_CACHE["default_query_exec_mode"]},
    PLANNED: STATEMENT_CACHE,
}
"""Parameters of the connection URI. The second case is the trap of decision 27: it keeps the plans that
were made while the datastore was small."""
CALLERS = (1, 16)

MEMBERS = """
BEGIN;
INSERT INTO relation_tuple_transaction DEFAULT VALUES;
INSERT INTO relation_tuple
  (namespace, object_id, relation, userset_namespace, userset_object_id, userset_relation)
SELECT 'organization', 'asked', relation, 'user', 'usr_' || lpad(n::text, 20, '0'), '...'
FROM generate_series({first}, {last}) n, unnest(ARRAY['member', 'support']) relation;
COMMIT;
ANALYZE;
"""


async def measure(environment: Environment) -> list[Table]:
    """Check the same members in all cases in turns, while the datastores are small and after they grew.

    SpiceDB remembers no answers, so each check reaches PostgreSQL. ANALYZE does after each step what
    autoanalyze does some time later.
    """
    environment.stop_api_and_worker()
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(bare_stack(environment))
        engines = {}
        for name, parameters in CASES.items():
            engines[name] = await stack.enter_async_context(
                second_spicedb(
                    environment, bare, name, name, (*FRESHNESS_FLAGS, *UNCACHED), parameters
                )
            )
            await _write_schema(environment, engines[name])
        for first, last in ((1, SMALL), (SMALL + 1, GROWN)):
            for name in CASES:
                members = MEMBERS.format(first=first, last=last)
                await asyncio.to_thread(environment.stack.postgres.psql, members, name)
            for callers in CALLERS:
                title = f"statements, {last} members, {callers} at once"
                loads = [_callers(engine, callers) for engine in engines.values()]
                figures = dict(zip(CASES, await interleave(title, *loads), strict=True))
                rows += [_row(last, callers, name, figures) for name in CASES]
    return [Table("Statements: a check by the parameters of SpiceDB's connection URI", rows)]


def _callers(engine: BareStack, count: int) -> list[Step]:
    return [PathCheckWorker(engine, PATHS[0], SMALL, same=False) for _ in range(count)]


def _row(members: int, callers: int, name: str, figures: Mapping[str, Figures]) -> Row:
    compared = ratio(figures[name], figures[AS_TEXT], of=median)
    return {
        "members": f"{members:,}",
        "callers": str(callers),
        "statements": name.replace("_", " "),
        "checks /s": figures[name].per_second,
        "median ms": figures[name].median_ms,
        "p95 ms": figures[name].p95_ms,
        "times as text": compared.median,
        "of rounds": compared.spread,
    }


async def _write_schema(environment: Environment, bare: BareStack) -> None:
    key = environment.settings.spicedb_preshared_key.get_secret_value()
    async with Engine(bare.endpoint, key) as engine:
        await engine.write_schema(compile_schema(load_catalog(environment.settings.catalog)))
