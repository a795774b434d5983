"""What one tenant's change and check take while somebody else does their worst.

Each load is the worst we know that one caller, one tenant or any number of anonymous connections can
cause. Quiet time and load take turns, so that whatever else the machine does meets both.
"""

import asyncio
import itertools
import multiprocessing
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import population
from benchmarks.assault import Assault, Request, run
from benchmarks.environment import Site
from benchmarks.http import Connection
from benchmarks.load import Figures, Ratio, Run, Step, drive, ratio
from benchmarks.population import Person
from benchmarks.report import Row, Table
from benchmarks.role_change import ROLES, Changing
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
"""Of the tenant that does its worst."""
CALLERS = 24
"""Its administrators, and the connections of each load."""


class Checking:
    """A service of the other tenant, which asks SpiceDB itself."""

    def __init__(self, service: Service, organization: OrganizationId, who: Person) -> None:
        self._engine = service.engine
        self._asked = (organization_object(organization), "refunds_create", user_object(who.id))

    async def __call__(self) -> None:
        """Ask; nothing is cached, for every question is fully consistent."""
        await self._engine.check(*self._asked, at_least_as_fresh(None))


class Asking:
    """Somebody of the other tenant, who asks the API."""

    def __init__(self, port: int, organization: OrganizationId, who: Person) -> None:
        self._connection = Connection(port)
        self._token = who.token
        self._body = {"checks": [{"organization": organization, "action": "refunds_create"}]}

    async def __call__(self) -> None:
        """Ask whether they may."""
        await self._connection.ask(200, "POST", "/v1/check", self._token, self._body)


@dataclass
class Watched:
    """What is measured of the tenant that does nothing wrong."""

    steps: dict[str, Step]
    quiet: dict[str, list[Run]] = field(default_factory=dict)
    loaded: dict[str, list[Run]] = field(default_factory=dict)

    async def round(self, kept: dict[str, list[Run]]) -> None:
        """Do each for a while, one after the other."""
        for name, step in self.steps.items():
            kept.setdefault(name, []).append(await drive([step], SECONDS))


async def measure(site: Site) -> list[Table]:
    """Measure under every load."""
    rows: list[Row] = []
    async with open_service(site.settings) as service:
        victim = await population.organization(service)
        [ana] = await population.administrators(service, victim, 1)
        [bob] = await population.join(service, victim, ROLES[0], 1)
        loads = await _loads(site, service)
        for name, assault in loads.items():
            watched = Watched(
                {
                    "change": Changing(site.port, victim, ana, bob),
                    "check by the API": Asking(site.port, victim, ana),
                    "check by SpiceDB": Checking(service, victim, ana),
                }
            )
            rows += [row async for row in _under(name, assault, watched)]
    return [Table("One tenant's change and check while another does its worst", rows)]


async def _under(name: str, assault: Assault, watched: Watched) -> AsyncIterator[Row]:
    with Meter(f"fairness, {name}", "rounds", ROUNDS) as meter:
        answers: dict[int, int] = {}
        for _ in range(ROUNDS):
            await watched.round(watched.quiet)
            async with _assailed(assault, answers):
                await watched.round(watched.loaded)
            await asyncio.sleep(SETTLE_SECONDS)
            meter.step()
    told = ", ".join(f"{status}: {count:,}" for status, count in sorted(answers.items()))
    for what in watched.steps:
        quiet, loaded = Figures(watched.quiet[what]), Figures(watched.loaded[what])
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
            "the load's answers": told,
        }


@asynccontextmanager
async def _assailed(assault: Assault, answers: dict[int, int]) -> AsyncIterator[None]:
    """Let a process of its own do its worst for as long as the block runs."""
    spawn = multiprocessing.get_context("spawn")
    stop, told = spawn.Event(), spawn.Queue()
    process = spawn.Process(target=run, args=(assault, stop, told), daemon=True)
    process.start()
    await asyncio.to_thread(told.get)  # it has begun
    await asyncio.sleep(SETTLE_SECONDS)
    try:
        yield
    finally:
        stop.set()
        counts: dict[int, int] = await asyncio.to_thread(told.get)
        await asyncio.to_thread(process.join)
        for status, count in counts.items():
            answers[status] = answers.get(status, 0) + count


async def _loads(site: Site, service: Service) -> dict[str, Assault]:
    worst = await population.organization(service)
    people = await population.administrators(service, worst, CALLERS)
    await population.bring_in(service, worst, ROLES, MEMBERS)
    members = await population.join(service, worst, ROLES[0], CALLERS)
    here = f"/v1/organizations/{worst}"
    changes = [
        {"change": "set_roles", "user": member, "roles": [role]}
        for role, member in itertools.islice(
            itertools.product(("support", "product", "developer", "operations"), members), 600
        )
    ]
    large = {"changes": changes[:600]}
    silent = Request(b"GET /healthz HTTP/1.1\r\nHost: t\r\n", half_sent=True)

    def by(person: Person, method: str, path: str, body: Any = None, **more: str) -> Request:
        return Request.of(method, path, person.token, body, **more)

    def each(make: Callable[[Person, int], Request], callers: int) -> list[Request]:
        """Return a request for each connection, of as many callers."""
        return [make(people[n % callers], n) for n in range(CALLERS)]

    state = await _state(site, worst, people[0])
    port = site.port

    def role(person: Person, n: int) -> Request:
        wanted = {"roles": [{"role": ROLES[n % 2]}]}
        return by(person, "PUT", f"{here}/members/{members[n]}/roles", wanted)

    def read(person: Person, _: int) -> Request:
        return by(person, "GET", f"{here}/members?limit=1000")

    def ask(person: Person, _: int) -> Request:
        return by(person, "GET", f"{here}/permissions")

    def plan(person: Person, _: int) -> Request:
        return by(person, "POST", f"{here}/audit/plan", large)

    def many(person: Person, _: int) -> Request:
        return by(person, "POST", f"{here}/changes", large, **{"If-Match": state})

    def audit(person: Person, n: int) -> Request:
        question = ("matrix", "who-can?action=refunds_create")[n % 2]
        return by(person, "GET", f"{here}/audit/{question}")

    anonymous = [
        Request.of("GET", path) for path in ("/schema/openapi.yaml", "/metrics", "/readyz")
    ]
    return {
        "nothing": Assault(port, []),
        "300 silent connections": Assault(port, [silent] * 300),
        "64 anonymous connections": Assault(port, [anonymous[n % 3] for n in range(64)]),
        "64 with a false token": Assault(port, [Request.of("GET", "/v1/me", "x" * 200)] * 64),
        "one caller reads": Assault(port, each(read, 1)),
        "one caller asks": Assault(port, each(ask, 1)),
        "one caller changes roles": Assault(port, each(role, 1)),
        "one caller plans": Assault(port, each(plan, 1)),
        "one caller makes large changes": Assault(port, each(many, 1)),
        "one caller audits": Assault(port, each(audit, 1)),
        "a tenant reads": Assault(port, each(read, CALLERS)),
        "a tenant asks": Assault(port, each(ask, CALLERS)),
        "a tenant changes roles": Assault(port, each(role, CALLERS)),
        "a tenant plans and audits": Assault(port, each(plan, CALLERS) + each(audit, CALLERS)),
    }


async def _state(site: Site, organization: OrganizationId, who: Person) -> str:
    """Return an ETag of a plan; as changes follow each other, most that name it are refused."""
    path = f"/v1/organizations/{organization}/audit/plan"
    body = {"changes": [{"change": "suspend", "user": who.id}]}
    answer = await Connection(site.port).ask(200, "POST", path, who.token, body)
    return answer.headers["etag"]
