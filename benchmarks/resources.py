"""Objects registered by the thousand, against bare writes of the same; and a question about one."""

import itertools
import time
from collections.abc import Awaitable, Sequence
from statistics import fmean

from authzed.api.v1 import (
    CheckPermissionRequest,
    Consistency,
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
)

from benchmarks import population
from benchmarks.baseline import Parts, parts, reference
from benchmarks.environment import Site
from benchmarks.load import Figures, Ratio, interleave
from benchmarks.population import BY_BENCHMARKS
from benchmarks.report import Row, Table
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.resources.register import ResourceOperation, apply
from teamaccess.service import Service, open_service
from teamaccess.storage import OrganizationId, ResourceId, UserId

OBJECTS = 10_000
BATCH = 1_000
AT_ONCE = 450
"""Objects in one bare write: as many relationships as one of ours has."""
CALLERS = 4


async def measure(site: Site) -> list[Table]:
    """Register transfers in turns with the bare side, and then ask about them."""
    async with open_service(site.settings) as service, parts(site) as bare:
        here = await population.organization(service)
        async with service.ledger.change(BY_BENCHMARKS, here) as change:
            ana = await grant_administrator(change, here, f"ana@{here}.example", "to register")
            await service.ledger.commit(change)
        [bob, *_] = await population.join(service, here, "operations", 1)
        registering = await _register(service, bare, here, ana.user_id, bob)
        administrators = await population.join(service, here, "administrator", OBJECTS)
        asking = await _ask(bare, here, administrators)
    return [
        Table(
            "Resources: transfers registered through the ledger against bare writes", [registering]
        ),
        Table("Resources: a check on one object against one on the organization", asking),
    ]


async def _register(
    service: Service, bare: Parts, here: OrganizationId, by: UserId, creator: UserId
) -> Row:
    seconds, bare_seconds, ratios = 0.0, 0.0, []
    for begin in range(0, OBJECTS, BATCH):
        ids = [str(number) for number in range(begin, begin + BATCH)]
        one = await _timed(_through_the_ledger(service, here, by, creator, ids))
        other = await _timed(_bare(bare, OrganizationId("bare"), creator, ids))
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
    service: Service, here: OrganizationId, by: UserId, creator: UserId, ids: Sequence[str]
) -> None:
    """One change, until all of it is in force."""
    wanted = [ResourceOperation("transfer", ResourceId(id), creator) for id in ids]
    async with service.ledger.change(BY_BENCHMARKS, here) as change:
        with change.judging(by, None):
            await apply(change, wanted)
        receipts = await service.ledger.commit(change)
    if any(receipt.pending for receipt in receipts):
        await service.applier.catch_up(here)


async def _bare(
    parts: Parts, organization: OrganizationId, creator: UserId, ids: Sequence[str]
) -> None:
    subjects = {
        "organization": reference("organization", organization),
        "creator": reference("user", creator),
    }
    for begin in range(0, len(ids), AT_ONCE):
        await parts.write(
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


RemedyTarget = tuple[ObjectReference, UserId]
"""An object and somebody who may."""


class Asking:
    """A service's worker, asking about one after another."""

    def __init__(self, parts: Parts, about: Sequence[RemedyTarget], permission: str) -> None:
        self._parts, self._permission = parts, permission
        self._about = itertools.cycle(about)

    async def __call__(self) -> None:
        """Ask for the newest; nothing changes meanwhile, so what was asked before is remembered."""
        resource, user = next(self._about)
        await self._parts.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=Consistency(fully_consistent=True),
                resource=resource,
                permission=self._permission,
                subject=SubjectReference(object=reference("user", user)),
            ),
            metadata=self._parts.key,
        )


async def _ask(bare: Parts, here: OrganizationId, users: Sequence[UserId]) -> list[Row]:
    """Ask about administrators: the same question again, and another person and object each time."""
    objects = [reference("transfer", f"{here}/{number}") for number in range(len(users))]
    there = [reference("organization", here)] * len(users)
    rows = []
    for name, many in (("the same", 1), ("another", len(users))):
        asked = {
            "transfers_view on the organization": (there, "transfers_view"),
            "view on a transfer": (objects, "view"),
            "authorize on a transfer": (objects, "authorize"),
        }
        figures = await interleave(
            f"checks, {name} each time",
            *(
                [
                    Asking(
                        bare, list(zip(on, users, strict=True))[:many][each::CALLERS], permission
                    )
                    for each in range(min(CALLERS, many))
                ]
                for on, permission in asked.values()
            ),
        )
        rows += [
            _row(title, name, figures[0], each) for title, each in zip(asked, figures, strict=True)
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


async def _timed(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began
