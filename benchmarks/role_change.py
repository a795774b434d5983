"""A role change through the API, against its bare check, commit and write."""

import asyncio
import itertools
from dataclasses import dataclass
from statistics import median

from benchmarks.support import background_data, population
from benchmarks.support.bare_stack import BareChange, BareStack, bare_stack
from benchmarks.support.environment import Environment
from benchmarks.support.http_connection import Connection
from benchmarks.support.load import Figures, Step, interleave, ratio
from benchmarks.support.population import SignedInUser
from benchmarks.support.report import Row, Table
from teamaccess.access.authorize import ADMINISTRATION, MEMBERSHIP
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId, UserId

ROLES = ("support", "product")
"""A member alternates between these roles: one DELETE and one TOUCH for each change."""


class RoleChangeWorker:
    """An administrator who changes the role of one member over the API."""

    def __init__(
        self, port: int, organization: OrganizationId, administrator: SignedInUser, member: UserId
    ) -> None:
        self._connection = Connection(port)
        self._path = f"/v1/organizations/{organization}/members/{member}/roles"
        self._token = administrator.token
        self._roles = itertools.cycle(reversed(ROLES))

    async def __call__(self) -> None:
        """Change the role. Raises NotEnforcedYet."""
        body = {"roles": [{"role": next(self._roles)}]}
        await self._connection.ask(200, "PUT", self._path, self._token, body)


@dataclass(frozen=True)
class Scenario:
    """The administrators who change roles at the same time."""

    name: str
    organizations: int
    administrators: int
    """In each organization."""
    in_turns: bool = False
    """Whether the bare side also checks a change only after the previous one is in force."""


SCENARIOS = (
    Scenario("one", 1, 1),
    Scenario("8 of one organization", 1, 8),
    Scenario("8 of one organization, both in turns", 1, 8, in_turns=True),
    Scenario("64 of 64 organizations", 64, 1),
)


async def measure(environment: Environment) -> list[Table]:
    """Measure on a new datastore, and on a full one with statistics."""
    rows: list[Row] = []
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        loads = [await _loads(environment, service, bare, scenario) for scenario in SCENARIOS]
        for datastore in ("young", "analyzed"):
            if datastore == "analyzed":
                await asyncio.to_thread(background_data.fill, environment)
            for scenario, (our_workers, bare_workers) in zip(SCENARIOS, loads, strict=True):
                title = f"role_change, {datastore} datastore, {scenario.name}"
                rows.append(
                    _row(datastore, scenario, *await interleave(title, our_workers, bare_workers))
                )
    return [Table("Role changes: through the API against check + commit + write", rows)]


def _row(datastore: str, scenario: Scenario, ours: Figures, bare: Figures) -> Row:
    slower = ratio(ours, bare)
    return {
        "datastore": datastore,
        "administrators": scenario.name,
        "ratio": slower.median,
        "of rounds": slower.spread,
        "of medians": ratio(ours, bare, of=median).median,
        "API /s": ours.per_second,
        "median ms": ours.median_ms,
        "p95 ms": ours.p95_ms,
        "late": ours.late,
        "bare /s": bare.per_second,
        "bare median ms": bare.median_ms,
        "bare p95 ms": bare.p95_ms,
        "bare late": bare.late,
    }


async def _loads(
    environment: Environment, service: Service, bare: BareStack, scenario: Scenario
) -> tuple[list[Step], list[Step]]:
    """Return the workers of our side and of the bare side."""
    permissions = (MEMBERSHIP, ADMINISTRATION, service.catalog.guards["change_roles"])
    our_workers: list[Step] = []
    bare_workers: list[Step] = []
    for _ in range(scenario.organizations):
        id = await population.create_organization(service)
        people = await population.add_administrators(service, id, scenario.administrators)
        members = await population.add_members(service, id, ROLES[0], scenario.administrators)
        turns = asyncio.Lock() if scenario.in_turns else None
        for person, member in zip(people, members, strict=True):
            our_workers.append(RoleChangeWorker(environment.port, id, person, member))
            change = BareChange(bare, id, person.id, permissions, ROLES)
            bare_workers.append(_in_turns(change, turns) if turns else change)
    return our_workers, bare_workers


def _in_turns(step: Step, turns: asyncio.Lock) -> Step:
    async def wait_and_do() -> None:
        async with turns:
            await step()

    return wait_and_do
