"""Objects registered by the thousand against bare writes, and checks on single objects."""

import itertools
from collections.abc import Sequence
from statistics import fmean

from authzed.api.v1 import (
    CheckPermissionRequest,
    Consistency,
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
)

from benchmarks.support import population
from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import Figures, Ratio, interleave, seconds_of
from benchmarks.support.population import BENCHMARK_OPERATOR
from benchmarks.support.report import Row, Table
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.resources.register import ResourceOperation, apply
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId, ResourceId, UserId

OBJECTS = 10_000
BATCH = 1_000
AT_ONCE = 450
"""Objects in one bare write, so that it has as many relationships as one of ours."""
CALLERS = 4


async def measure(environment: Environment) -> list[Table]:
    """Register transfers in turns with the bare side, and then check actions on them."""
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        organization = await population.create_organization(service)
        async with service.ledger.change(BENCHMARK_OPERATOR, organization) as change:
            ana = await grant_administrator(
                change, organization, f"ana@{organization}.example", "to register"
            )
            await service.ledger.commit(change)
        [bob, *_] = await population.add_members(service, organization, "operations", 1)
        registering = await _register(service, bare, organization, ana.user_id, bob)
        administrators = await population.add_members(
            service, organization, "administrator", OBJECTS
        )
        asking = await _ask(bare, organization, administrators)
    return [
        Table(
            "Resources: transfers registered through the ledger against bare writes", [registering]
        ),
        Table("Resources: a check on one object against one on the organization", asking),
    ]


async def _register(
    service: Service, bare: BareStack, organization: OrganizationId, by: UserId, creator: UserId
) -> Row:
    seconds, bare_seconds, ratios = 0.0, 0.0, []
    for begin in range(0, OBJECTS, BATCH):
        ids = [str(number) for number in range(begin, begin + BATCH)]
        one = await seconds_of(_through_the_ledger(service, organization, by, creator, ids))
        other = await seconds_of(_bare(bare, OrganizationId("bare"), creator, ids))
        seconds, bare_seconds = seconds + one, bare_seconds + other
        ratios.append(other / one)
    return {
        "objects": f"{OBJECTS:,}",
        "objects /s": OBJECTS / seconds,
        "bare objects /s": OBJECTS / bare_seconds,
        "of bare's speed": bare_seconds / seconds,
        "of rounds": f"{min(ratios):.2f} to {max(ratios):.2f}",
    }


async def _through_the_ledger(
    service: Service, organization: OrganizationId, by: UserId, creator: UserId, ids: Sequence[str]
) -> None:
    """Register the objects in one change, and wait until it is in force."""
    operations = [ResourceOperation("transfer", ResourceId(id), creator) for id in ids]
    async with service.ledger.change(BENCHMARK_OPERATOR, organization) as change:
        with change.judging(by, None):
            await apply(change, operations)
        receipts = await service.ledger.commit(change)
    if any(receipt.pending for receipt in receipts):
        await service.applier.catch_up(organization)


async def _bare(
    bare: BareStack, organization: OrganizationId, creator: UserId, ids: Sequence[str]
) -> None:
    subjects = {
        "organization": reference("organization", organization),
        "creator": reference("user", creator),
    }
    for begin in range(0, len(ids), AT_ONCE):
        await bare.write(
            organization,
            [
                RelationshipUpdate(
                    operation=RelationshipUpdate.OPERATION_TOUCH,
                    relationship=Relationship(
                        resource=reference("transfer", f"{organization}/{id}"),
                        relation=relation,
                        subject=SubjectReference(object=subject),
                    ),
                )
                for id in ids[begin : begin + AT_ONCE]
                for relation, subject in subjects.items()
            ],
        )


ObjectAndUser = tuple[ObjectReference, UserId]
"""An object, and a user who may act on it."""


class ObjectCheckWorker:
    """A service's worker that checks one object after another."""

    def __init__(self, bare: BareStack, about: Sequence[ObjectAndUser], permission: str) -> None:
        self._bare, self._permission = bare, permission
        self._about = itertools.cycle(about)

    async def __call__(self) -> None:
        """Check with full consistency. Nothing changes meanwhile, so earlier answers are cached."""
        resource, user = next(self._about)
        await self._bare.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=Consistency(fully_consistent=True),
                resource=resource,
                permission=self._permission,
                subject=SubjectReference(object=reference("user", user)),
            ),
            metadata=self._bare.key,
        )


async def _ask(bare: BareStack, organization: OrganizationId, users: Sequence[UserId]) -> list[Row]:
    """Check administrators: the same check each time, and another user and object each time."""
    objects = [reference("transfer", f"{organization}/{number}") for number in range(len(users))]
    organization_objects = [reference("organization", organization)] * len(users)
    rows = []
    for name, many in (("the same", 1), ("another", len(users))):
        checks = {
            "transfers_view on the organization": (organization_objects, "transfers_view"),
            "view on a transfer": (objects, "view"),
            "authorize on a transfer": (objects, "authorize"),
        }
        figures = await interleave(
            f"checks, {name} each time",
            *(
                [
                    ObjectCheckWorker(
                        bare, list(zip(on, users, strict=True))[:many][each::CALLERS], permission
                    )
                    for each in range(min(CALLERS, many))
                ]
                for on, permission in checks.values()
            ),
        )
        rows += [
            _row(title, name, figures[0], each) for title, each in zip(checks, figures, strict=True)
        ]
    return rows


def _row(check: str, each_time: str, plain: Figures, figures: Figures) -> Row:
    rounds = zip(plain.runs, figures.runs, strict=True)
    slower = Ratio([fmean(two.steps) / fmean(one.steps) for one, two in rounds])
    return {
        "check": check,
        "each time": each_time,
        "checks /s": figures.per_second,
        "median ms": figures.median_ms,
        "p95 ms": figures.p95_ms,
        "times the first's": slower.median,
        "of rounds": slower.spread,
    }
