"""What a check costs on each path to an action, and whether that grows with members or organizations."""

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

from benchmarks.baseline import Parts, parts, reference
from benchmarks.environment import Site
from benchmarks.load import Figures, Step, interleave, ratio
from benchmarks.report import Row, Table
from benchmarks.second_spicedb import spicedb_beside
from teamaccess.catalog import compile_schema, load_catalog
from teamaccess.engine import Engine
from teamaccess.local.spicedb.server import SOON

HERE = "asked"
OTHERS = 100
"""Members of each other organization."""


@dataclass(frozen=True)
class Datastore:
    """How full it is."""

    name: str
    members: int
    """Of the organization that is asked about; a fifth of them on each path."""
    organizations: int


USUAL = Datastore("usual", 1_000, 10)
MANY_MEMBERS = Datastore("many_members", 1_000_000, 10)
MANY_ORGANIZATIONS = Datastore("many_organizations", 1_000, 10_000)
DATASTORES = (USUAL, MANY_MEMBERS, MANY_ORGANIZATIONS)


@dataclass(frozen=True)
class Path:
    """Why somebody may, and what is asked about them; `{}` is their number."""

    name: str
    type: str
    id: str
    permission: str


PATHS = (
    Path("predefined role", "organization", HERE, "refunds_create"),
    Path("custom role", "organization", HERE, "refunds_create"),
    Path("predefined role of a team", "organization", HERE, "refunds_create"),
    Path("grant on one object", "webhook", f"{HERE}/{{}}", "edit"),
    Path("four eyes on one object", "transfer", f"{HERE}/{{}}", "authorize"),
)
"""The one in place P is that of the members whose number divided by 5 leaves P."""

UNCACHED = ("--dispatch-cache-enabled=false", "--dispatch-cluster-cache-enabled=false")
CACHES: Mapping[str, tuple[str, ...]] = {"cold": (*SOON, *UNCACHED), "warm": SOON}
"""Cold: SpiceDB remembers no answer, and somebody else is asked about each time. Warm: as we start it,
and the same is asked each time."""

# Millions of members take hours on the way that changes take, so SpiceDB's table is filled directly.
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


class Asking:
    """A service's worker, asking whether members may who all may, on one path."""

    def __init__(self, parts: Parts, path: Path, members: int, *, same: bool) -> None:
        self._parts, self._path = parts, path
        numbers = range(PATHS.index(path) + len(PATHS), members, len(PATHS))
        self._numbers = itertools.repeat(numbers[0]) if same else itertools.cycle(numbers)

    async def __call__(self) -> None:
        """Ask about the next one, as cheaply as SpiceDB can tell; raises PermissionError for a no."""
        number = next(self._numbers)
        response = await self._parts.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=Consistency(minimize_latency=True),
                resource=reference(self._path.type, self._path.id.format(number)),
                permission=self._path.permission,
                subject=SubjectReference(object=reference("user", f"usr_{number:020}")),
            ),
            metadata=self._parts.key,
        )
        if response.permissionship != CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION:
            raise PermissionError(self._path)


async def measure(site: Site) -> list[Table]:
    """Ask on every path in turns: cold and warm, in three datastores that are up at the same time."""
    site.without_us()
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(parts(site))
        engines = {}
        for datastore, (cache, options) in itertools.product(DATASTORES, CACHES.items()):
            engines[datastore, cache] = await stack.enter_async_context(
                spicedb_beside(site, bare, f"{datastore.name}_{cache}", datastore.name, options)
            )
        for datastore in DATASTORES:
            await _fill(site, engines[datastore, "cold"], datastore)
        loads: dict[tuple[Datastore, str, Path], list[Step]] = {
            (datastore, cache, path): [
                Asking(engine, path, datastore.members, same=cache == "warm")
            ]
            for (datastore, cache), engine in engines.items()
            for path in PATHS
        }
        found = dict(zip(loads, await interleave("paths", *loads.values()), strict=True))
    cases = list(itertools.product(CACHES, PATHS))
    return [
        Table(
            "Checks: each path to an action against a predefined role, 1,000 members",
            [_cost(found, cache, path) for cache, path in cases],
        ),
        Table(
            "Checks: 1,000,000 members or 10,000 organizations against 1,000 and 10",
            [_growth(found, cache, path) for cache, path in cases],
        ),
    ]


Found = Mapping[tuple[Datastore, str, Path], Figures]


def _cost(found: Found, cache: str, path: Path) -> Row:
    figures, plain = found[USUAL, cache, path], found[USUAL, cache, PATHS[0]]
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


def _growth(found: Found, cache: str, path: Path) -> Row:
    usual = found[USUAL, cache, path]
    members = ratio(found[MANY_MEMBERS, cache, path], usual, of=median)
    organizations = ratio(found[MANY_ORGANIZATIONS, cache, path], usual, of=median)
    return {
        "answers remembered": cache,
        "path": path.name,
        "median ms": usual.median_ms,
        "1,000,000 members": members.median,
        "of rounds": members.spread,
        "10,000 organizations": organizations.median,
        "of their rounds": organizations.spread,
    }


async def _fill(site: Site, parts: Parts, datastore: Datastore) -> None:
    """Write the schema and every relationship, and have PostgreSQL look at what it has."""
    key = site.settings.spicedb_preshared_key.get_secret_value()
    async with Engine(parts.endpoint, key) as engine:
        await engine.write_schema(compile_schema(load_catalog(site.settings.catalog)))
    graph = GRAPH.format(
        members=datastore.members, organizations=datastore.organizations, each=OTHERS
    )
    await asyncio.to_thread(site.stack.postgres.psql, graph, datastore.name)
