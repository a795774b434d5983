"""A role change through the API against the bare things it cannot do without."""

import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
from authzed.api.v1 import ObjectReference, Relationship, SubjectReference
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks import population
from benchmarks.bare import BareChange, Parts, parts
from benchmarks.http import Connection
from benchmarks.load import Figures, Step, interleave, ratio
from benchmarks.population import Person
from benchmarks.report import Row, Table
from benchmarks.site import Site
from teamaccess.local.postgres import SPICEDB
from teamaccess.local.progress import Meter
from teamaccess.models import OrganizationId, UserId
from teamaccess.service import Service, open_service

ROLES = ("support", "product")
"""Between these a member goes back and forth: one DELETE and one TOUCH."""
OTHERS = 100_000
"""Relationships of other tenants in the analyzed datastore."""
PER_WRITE = 1000


@dataclass
class Changing:
    """One administrator's worker, who changes the role of one member over the API."""

    connection: Connection
    organization: OrganizationId
    administrator: Person
    member: UserId

    def __post_init__(self) -> None:
        self._roles = itertools.cycle(reversed(ROLES))

    async def __call__(self) -> None:
        path = f"/v1/organizations/{self.organization}/members/{self.member}/roles"
        wanted = {"roles": [{"role": next(self._roles)}]}
        await self.connection.ask(200, "PUT", path, self.administrator.token, wanted)


@dataclass(frozen=True)
class Scenario:
    """Who changes roles at the same time."""

    name: str
    organizations: int
    administrators: int
    """In each organization."""


SCENARIOS = (
    Scenario("alone", 1, 1),
    Scenario("8 administrators of one organization", 1, 8),
    Scenario("64 administrators of 64 organizations", 64, 1),
)


async def measure(site: Site) -> list[Table]:
    """Measure on a datastore that has just been made, and on one that is full and analyzed."""
    rows: list[Row] = []
    async with open_service(site.settings) as service, parts(site, service.catalog) as bare:
        loads = [await _loads(site, service, bare, scenario) for scenario in SCENARIOS]
        for datastore in ("young", "analyzed"):
            if datastore == "analyzed":
                await _fill(site)
                site.stack.postgres.psql("ANALYZE", database=SPICEDB)
            for scenario, (ours, bares) in zip(SCENARIOS, loads, strict=True):
                title = f"role_change, {datastore} datastore, {scenario.name}"
                rows.append(_row(datastore, scenario, *await interleave(title, ours, bares)))
    return [Table("Role changes: through the API against check + commit + write", rows)]


def _row(datastore: str, scenario: Scenario, ours: Figures, bare: Figures) -> Row:
    return {
        "datastore": datastore,
        "at once": scenario.name,
        "per second": ours.per_second,
        "median ms": ours.median_ms,
        "p95 ms": ours.p95_ms,
        "late": ours.late,
        "bare per second": bare.per_second,
        "bare median ms": bare.median_ms,
        "bare p95 ms": bare.p95_ms,
        "bare late": bare.late,
        "ratio": ratio(ours, bare).median,
        "rounds": str(ratio(ours, bare)),
    }


async def _loads(
    site: Site, service: Service, bare: Parts, scenario: Scenario
) -> tuple[list[Step], list[Step]]:
    """Return the workers of our side and of the bare one, in organizations of their own."""
    ours: list[Step] = []
    bares: list[Step] = []
    for _ in range(scenario.organizations):
        id = await population.organization(service)
        people = await population.administrators(service, id, scenario.administrators)
        members = await population.join(service, id, ROLES[0], scenario.administrators)
        for person, member in zip(people, members, strict=True):
            ours.append(Changing(Connection(site.port), id, person, member))
            bares.append(BareChange(bare, id, person.id, ROLES))
    return ours, bares


async def _fill(site: Site) -> None:
    key = site.settings.spicedb_preshared_key.get_secret_value()
    with Meter("role_change, filling the datastore", "relationships", OTHERS) as meter:
        async with grpc.aio.insecure_channel(site.settings.spicedb_endpoint) as channel:
            await PermissionsServiceStub(channel).ImportBulkRelationships(
                _others(meter), metadata=(("authorization", f"Bearer {key}"),)
            )


async def _others(meter: Meter) -> AsyncIterator[ImportBulkRelationshipsRequest]:
    for _ in range(OTHERS // PER_WRITE):
        yield ImportBulkRelationshipsRequest(relationships=_tenant(PER_WRITE // 2))
        for _ in range(PER_WRITE):
            meter.step()


def _tenant(members: int) -> Iterator[Relationship]:
    resource = ObjectReference(
        object_type="organization", object_id=f"other-{secrets.token_hex(6)}"
    )
    for _ in range(members):
        user = ObjectReference(object_type="user", object_id=f"usr_{secrets.token_hex(10)}")
        for relation in ("member", ROLES[0]):
            yield Relationship(
                resource=resource, relation=relation, subject=SubjectReference(object=user)
            )
