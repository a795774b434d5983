"""The cost of a check on each path to an action, and its growth with members and organizations."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    SubjectReference,
)

from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import Figures, Step, interleave, ratio
from benchmarks.support.report import Row, Table
from benchmarks.support.second_spicedb import second_spicedb
from teamaccess.catalog import compile_schema, load_catalog
from teamaccess.engine import Engine
from teamaccess.local.spicedb.server import FRESHNESS_FLAGS

ORGANIZATION = "asked"
OTHERS = 100
"""Members of each other organization."""


@dataclass(frozen=True)
class Datastore:
    """A datastore, with the number of its members and organizations."""

    name: str
    members: int
    """Members of the checked organization, a fifth of them on each path."""
    organizations: int


USUAL = Datastore("usual", 1_000, 10)
MANY_MEMBERS = Datastore("many_members", 1_000_000, 10)
MANY_ORGANIZATIONS = Datastore("many_organizations", 1_000, 10_000)
DATASTORES = (USUAL, MANY_MEMBERS, MANY_ORGANIZATIONS)


@dataclass(frozen=True)
class Path:
    """A path to an action, and the check for it. `{}` stands for the member's number."""

    name: str
    type: str
    id: str
    permission: str


PATHS = (
    Path("predefined role", "organization", ORGANIZATION, "refunds_create"),
    Path("custom role", "organization", ORGANIZATION, "refunds_create"),
    Path("predefined role of a team", "organization", ORGANIZATION, "refunds_create"),
    Path("grant on one object", "webhook", f"{ORGANIZATION}/{{}}", "edit"),
    Path("four eyes on one object", "transfer", f"{ORGANIZATION}/{{}}", "authorize"),
)
"""The path at index P belongs to the members whose number modulo 5 is P."""

UNCACHED = ("--dispatch-cache-enabled=false", "--dispatch-cluster-cache-enabled=false")
CACHES: Mapping[str, tuple[str, ...]] = {
    "cold": (*FRESHNESS_FLAGS, *UNCACHED),
    "warm": FRESHNESS_FLAGS,
}
"""Cold: SpiceDB caches no answer, and each check is about another member. Warm: SpiceDB runs with our
options, and each check is the same."""

# Millions of members would take hours through the ledger, so SpiceDB's table is filled directly.
GRAPH = """
BEGIN;
INSERT INTO relation_tuple_transaction DEFAULT VALUES;
INSERT INTO relation_tuple
  (namespace, object_id, relation, userset_namespace, userset_object_id, userset_relation)
WITH people AS (
  SELECT n, n % 5 AS path, 'usr_' || lpad(n::text, 20, '0') AS id
  FROM generate_series(1, {members}) n
)
SELECT 'organization', 'asked', 'member', 'user', id, '...' FROM people
UNION ALL SELECT 'organization', 'asked', 'support', 'user', id, '...' FROM people WHERE path = 0
UNION ALL SELECT 'role', 'asked/refunding', 'member', 'user', id, '...' FROM people WHERE path = 1
UNION ALL SELECT 'team', 'asked/refunders', 'member', 'user', id, '...' FROM people WHERE path = 2
UNION ALL SELECT 'webhook', 'asked/' || n, 'granted_edit', 'user', id, '...' FROM people WHERE path = 3
UNION ALL SELECT 'organization', 'asked', 'administrator', 'user', id, '...' FROM people WHERE path = 4
UNION ALL
  SELECT 'transfer', 'asked/' || n, 'creator', 'user', 'usr_creator', '...' FROM people WHERE path = 4
UNION ALL
  SELECT CASE path WHEN 3 THEN 'webhook' ELSE 'transfer' END, 'asked/' || n, 'organization',
    'organization', 'asked', '...'
  FROM people WHERE path IN (3, 4)
UNION ALL SELECT 'organization', 'asked', 'granted_refunds_create', 'role', 'asked/refunding', 'member'
UNION ALL SELECT 'organization', 'asked', 'support', 'team', 'asked/refunders', 'member'
UNION ALL
  SELECT 'organization', 'other-' || other, relation, 'user', 'usr_' || other || '_' || n, '...'
  FROM generate_series(2, {organizations}) other, generate_series(1, {each}) n,
    unnest(ARRAY['member', 'support']) relation;
COMMIT;
VACUUM ANALYZE;
"""


class PathCheckWorker:
    """A service's worker that checks members on one path. All of them are allowed."""

    def __init__(self, bare: BareStack, path: Path, members: int, *, same: bool) -> None:
        self._bare, self._path = bare, path
        numbers = range(PATHS.index(path) + len(PATHS), members, len(PATHS))
        self._numbers = itertools.repeat(numbers[0]) if same else itertools.cycle(numbers)

    async def __call__(self) -> None:
        """Check the next member with minimize_latency. Raises PermissionError for a no."""
        number = next(self._numbers)
        response = await self._bare.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=Consistency(minimize_latency=True),
                resource=reference(self._path.type, self._path.id.format(number)),
                permission=self._path.permission,
                subject=SubjectReference(object=reference("user", f"usr_{number:020}")),
            ),
            metadata=self._bare.key,
        )
        if response.permissionship != CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION:
            raise PermissionError(self._path)


async def measure(environment: Environment) -> list[Table]:
    """Check every path in turns: cold and warm, in three datastores that run at the same time."""
    environment.stop_api_and_worker()
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(bare_stack(environment))
        engines = {}
        for datastore, (cache, options) in itertools.product(DATASTORES, CACHES.items()):
            engines[datastore, cache] = await stack.enter_async_context(
                second_spicedb(
                    environment, bare, f"{datastore.name}_{cache}", datastore.name, options
                )
            )
        for datastore in DATASTORES:
            await _fill(environment, engines[datastore, "cold"], datastore)
        loads: dict[tuple[Datastore, str, Path], list[Step]] = {
            (datastore, cache, path): [
                PathCheckWorker(engine, path, datastore.members, same=cache == "warm")
            ]
            for (datastore, cache), engine in engines.items()
            for path in PATHS
        }
        figures_by_case = dict(zip(loads, await interleave("paths", *loads.values()), strict=True))
    cases = list(itertools.product(CACHES, PATHS))
    return [
        Table(
            "Checks: each path to an action against a predefined role, 1,000 members",
            [_cost(figures_by_case, cache, path) for cache, path in cases],
        ),
        Table(
            "Checks: 1,000,000 members or 10,000 organizations against 1,000 and 10",
            [_growth(figures_by_case, cache, path) for cache, path in cases],
        ),
    ]


FiguresByCase = Mapping[tuple[Datastore, str, Path], Figures]


def _cost(figures_by_case: FiguresByCase, cache: str, path: Path) -> Row:
    figures, plain = figures_by_case[USUAL, cache, path], figures_by_case[USUAL, cache, PATHS[0]]
    compared = ratio(figures, plain, of=median)
    return {
        "answers remembered": cache,
        "path": path.name,
        "checks /s": figures.per_second,
        "median ms": figures.median_ms,
        "p95 ms": figures.p95_ms,
        "times a predefined role": compared.median,
        "of rounds": compared.spread,
    }


def _growth(figures_by_case: FiguresByCase, cache: str, path: Path) -> Row:
    usual = figures_by_case[USUAL, cache, path]
    members = ratio(figures_by_case[MANY_MEMBERS, cache, path], usual, of=median)
    organizations = ratio(figures_by_case[MANY_ORGANIZATIONS, cache, path], usual, of=median)
    return {
        "answers remembered": cache,
        "path": path.name,
        "median ms": usual.median_ms,
        "1,000,000 members": members.median,
        "of rounds": members.spread,
        "10,000 organizations": organizations.median,
        "of their rounds": organizations.spread,
    }


async def _fill(environment: Environment, bare: BareStack, datastore: Datastore) -> None:
    """Write the schema and all relationships, and update PostgreSQL's statistics."""
    key = environment.settings.spicedb_preshared_key.get_secret_value()
    async with Engine(bare.endpoint, key) as engine:
        await engine.write_schema(compile_schema(load_catalog(environment.settings.catalog)))
    graph = GRAPH.format(
        members=datastore.members, organizations=datastore.organizations, each=OTHERS
    )
    await asyncio.to_thread(environment.stack.postgres.psql, graph, datastore.name)
