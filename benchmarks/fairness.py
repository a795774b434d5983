"""The time of one tenant's change and check under the worst load of another.

Each load is the worst that we know from one caller, one tenant or any number of anonymous connections.
Quiet time and load take turns, so that other work on the machine affects both.
"""

import asyncio
import itertools
import multiprocessing
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.role_change import ROLES, RoleChangeWorker
from benchmarks.support import population
from benchmarks.support.environment import Environment
from benchmarks.support.http_connection import Connection
from benchmarks.support.load import Figures, Ratio, Run, Step, drive, ratio
from benchmarks.support.population import SignedInUser
from benchmarks.support.report import Row, Table
from benchmarks.support.request_flood import Request, RequestFlood, run
from teamaccess.common.progress import Meter
from teamaccess.engine import at_least_as_fresh
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId

ROUNDS = 3
SECONDS = 1.5
SETTLE_SECONDS = 0.5
MEMBERS = 5_000
"""Members of the tenant that causes the load."""
CALLERS = 24
"""The number of its administrators, and of the connections of each load."""


class SpiceDBCheckWorker:
    """A service of the observed tenant, which asks SpiceDB directly."""

    def __init__(self, service: Service, organization: OrganizationId, who: SignedInUser) -> None:
        self._engine = service.engine
        self._asked = (organization_object(organization), "refunds_create", user_object(who.id))

    async def __call__(self) -> None:
        """Check with full consistency, so that no cached answer counts."""
        await self._engine.check(*self._asked, at_least_as_fresh(None))


class ApiCheckWorker:
    """A member of the observed tenant, who asks the API."""

    def __init__(self, port: int, organization: OrganizationId, who: SignedInUser) -> None:
        self._connection = Connection(port)
        self._token = who.token
        self._body = {"checks": [{"organization": organization, "action": "refunds_create"}]}

    async def __call__(self) -> None:
        """Ask the API to check one action."""
        await self._connection.ask(200, "POST", "/v1/check", self._token, self._body)


@dataclass
class Observed:
    """The steps of the observed tenant, and their times in quiet and under load."""

    steps: dict[str, Step]
    quiet: dict[str, list[Run]] = field(default_factory=dict)
    loaded: dict[str, list[Run]] = field(default_factory=dict)

    async def round(self, runs: dict[str, list[Run]]) -> None:
        """Repeat each step for a while, one after another."""
        for name, step in self.steps.items():
            runs.setdefault(name, []).append(await drive([step], SECONDS))


async def measure(environment: Environment) -> list[Table]:
    """Measure the observed tenant under every load."""
    rows: list[Row] = []
    async with open_service(environment.settings) as service:
        observed_tenant = await population.create_organization(service)
        [ana] = await population.add_administrators(service, observed_tenant, 1)
        [bob] = await population.add_members(service, observed_tenant, ROLES[0], 1)
        loads = await _loads(environment, service)
        for name, flood in loads.items():
            observed = Observed(
                {
                    "change": RoleChangeWorker(environment.port, observed_tenant, ana, bob),
                    "check by the API": ApiCheckWorker(environment.port, observed_tenant, ana),
                    "check by SpiceDB": SpiceDBCheckWorker(service, observed_tenant, ana),
                }
            )
            rows += [row async for row in _under(name, flood, observed)]
    return [Table("One tenant's change and check while another does its worst", rows)]


async def _under(name: str, flood: RequestFlood, observed: Observed) -> AsyncIterator[Row]:
    with Meter(f"fairness, {name}", "rounds", ROUNDS) as meter:
        answers: dict[int, int] = {}
        for _ in range(ROUNDS):
            await observed.round(observed.quiet)
            async with _flooded(flood, answers):
                await observed.round(observed.loaded)
            await asyncio.sleep(SETTLE_SECONDS)
            meter.step()
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.items()))
    for what in observed.steps:
        quiet, loaded = Figures(observed.quiet[what]), Figures(observed.loaded[what])
        compared: Ratio = ratio(loaded, quiet, of=median)
        yield {
            "load": name,
            "what": what,
            "ratio": compared.median,
            "of rounds": compared.spread,
            "quiet ms": quiet.median_ms,
            "under load ms": loaded.median_ms,
            "p95 ms": loaded.p95_ms,
            "late": loaded.late,
            "the load's answers": statuses,
        }


@asynccontextmanager
async def _flooded(flood: RequestFlood, answers: dict[int, int]) -> AsyncIterator[None]:
    """Send the flood from another process while the block runs."""
    spawn = multiprocessing.get_context("spawn")
    stop, reports = spawn.Event(), spawn.Queue()
    process = spawn.Process(target=run, args=(flood, stop, reports), daemon=True)
    process.start()
    await asyncio.to_thread(reports.get)  # the start
    await asyncio.sleep(SETTLE_SECONDS)
    try:
        yield
    finally:
        stop.set()
        counts: dict[int, int] = await asyncio.to_thread(reports.get)
        await asyncio.to_thread(process.join)
        for status, count in counts.items():
            answers[status] = answers.get(status, 0) + count


async def _loads(environment: Environment, service: Service) -> dict[str, RequestFlood]:
    busy_tenant = await population.create_organization(service)
    people = await population.add_administrators(service, busy_tenant, CALLERS)
    await population.import_members(service, busy_tenant, ROLES, MEMBERS)
    members = await population.add_members(service, busy_tenant, ROLES[0], CALLERS)
    organization_path = f"/v1/organizations/{busy_tenant}"
    changes = [
        {"change": "set_roles", "user": member, "roles": [role]}
        for role, member in itertools.islice(
            itertools.product(("support", "product", "developer", "operations"), members), 600
        )
    ]
    large = {"changes": changes[:600]}
    silent = Request(b"GET /healthz HTTP/1.1\r\nHost: t\r\n", half_sent=True)

    def by(person: SignedInUser, method: str, path: str, body: Any = None, **more: str) -> Request:
        return Request.of(method, path, person.token, body, **more)

    def spread(make: Callable[[SignedInUser, int], Request], callers: int) -> list[Request]:
        """Return a request for each connection, spread over this many callers."""
        return [make(people[n % callers], n) for n in range(CALLERS)]

    state = await _state(environment, busy_tenant, people[0])
    port = environment.port

    def role(person: SignedInUser, n: int) -> Request:
        body = {"roles": [{"role": ROLES[n % 2]}]}
        return by(person, "PUT", f"{organization_path}/members/{members[n]}/roles", body)

    def read(person: SignedInUser, _: int) -> Request:
        return by(person, "GET", f"{organization_path}/members?limit=1000")

    def ask(person: SignedInUser, _: int) -> Request:
        return by(person, "GET", f"{organization_path}/permissions")

    def plan(person: SignedInUser, _: int) -> Request:
        return by(person, "POST", f"{organization_path}/audit/plan", large)

    def many(person: SignedInUser, _: int) -> Request:
        return by(person, "POST", f"{organization_path}/changes", large, **{"If-Match": state})

    def audit(person: SignedInUser, n: int) -> Request:
        question = ("matrix", "who-can?action=refunds_create")[n % 2]
        return by(person, "GET", f"{organization_path}/audit/{question}")

    anonymous = [
        Request.of("GET", path) for path in ("/schema/openapi.yaml", "/metrics", "/readyz")
    ]
    return {
        "nothing": RequestFlood(port, []),
        "300 silent connections": RequestFlood(port, [silent] * 300),
        "64 anonymous connections": RequestFlood(port, [anonymous[n % 3] for n in range(64)]),
        "64 with a false token": RequestFlood(port, [Request.of("GET", "/v1/me", "x" * 200)] * 64),
        "one caller reads": RequestFlood(port, spread(read, 1)),
        "one caller asks": RequestFlood(port, spread(ask, 1)),
        "one caller changes roles": RequestFlood(port, spread(role, 1)),
        "one caller plans": RequestFlood(port, spread(plan, 1)),
        "one caller makes large changes": RequestFlood(port, spread(many, 1)),
        "one caller audits": RequestFlood(port, spread(audit, 1)),
        "a tenant reads": RequestFlood(port, spread(read, CALLERS)),
        "a tenant asks": RequestFlood(port, spread(ask, CALLERS)),
        "a tenant changes roles": RequestFlood(port, spread(role, CALLERS)),
        "a tenant plans and audits": RequestFlood(
            port, spread(plan, CALLERS) + spread(audit, CALLERS)
        ),
    }


async def _state(environment: Environment, organization: OrganizationId, who: SignedInUser) -> str:
    """Return the ETag of a plan. Most changes that send it are refused, because others came first."""
    path = f"/v1/organizations/{organization}/audit/plan"
    body = {"changes": [{"change": "suspend", "user": who.id}]}
    answer = await Connection(environment.port).ask(200, "POST", path, who.token, body)
    return answer.headers["etag"]
