"""CheckPermission as a service calls it, at each consistency."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
from authzed.api.v1 import (
    CheckPermissionRequest,
    Consistency,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    ZedToken,
)

from benchmarks.support import background_data, population
from benchmarks.support.bare_stack import BareStack, bare_stack, reference
from benchmarks.support.environment import Environment
from benchmarks.support.load import Step, interleave
from benchmarks.support.report import Row, Table
from teamaccess.service import open_service
from teamaccess.storage import OrganizationId, UserId

MEMBERS = 100
CHANGES_A_SECOND = 10

Freshness = Callable[[str], Consistency]
"""Returns the consistency to ask for, from the newest ZedToken."""

FRESHNESS: dict[str, Freshness] = {
    "minimize_latency": lambda token: Consistency(minimize_latency=True),
    "at_least_as_fresh": lambda token: Consistency(at_least_as_fresh=ZedToken(token=token)),
    "fully_consistent": lambda token: Consistency(fully_consistent=True),
}


class CheckWorker:
    """A service's worker that checks one member after another."""

    def __init__(
        self,
        bare: BareStack,
        organization: OrganizationId,
        users: Sequence[UserId],
        fresh: Freshness,
    ) -> None:
        self._bare, self._fresh = bare, fresh
        self._organization = organization
        self._users = itertools.cycle(users)

    async def __call__(self) -> None:
        """Check whether the next member may refund."""
        await self._bare.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=self._fresh(self._bare.newest[self._organization]),
                resource=reference("organization", self._organization),
                permission="refunds_create",
                subject=SubjectReference(object=reference("user", next(self._users))),
            ),
            metadata=self._bare.key,
        )


async def measure(environment: Environment) -> list[Table]:
    """Check in a full datastore, without changes and while roles change."""
    rows: list[Row] = []
    async with open_service(environment.settings) as service, bare_stack(environment) as bare:
        id = await population.create_organization(service)
        users = await population.add_members(service, id, "support", MEMBERS)
        await asyncio.to_thread(background_data.fill, environment)
        await change(bare, id, 0)
        for changes, workers in itertools.product((0, CHANGES_A_SECOND), (1, 8)):
            loads: list[list[Step]] = [
                [CheckWorker(bare, id, users[worker::workers], fresh) for worker in range(workers)]
                for fresh in FRESHNESS.values()
            ]
            title = f"checks, {workers} at once, {changes} changes a second"
            async with changing(bare, id, changes):
                figures = await interleave(title, *loads)
            for name, each in zip(FRESHNESS, figures, strict=True):
                rows.append(
                    {
                        "freshness": name,
                        "callers": str(workers),
                        "changes /s": str(changes),
                        "checks /s": each.per_second,
                        "median ms": each.median_ms,
                        "p95 ms": each.p95_ms,
                    }
                )
    return [Table("Checks: CheckPermission from one Python process", rows)]


@asynccontextmanager
async def changing(
    bare: BareStack, organization: OrganizationId, a_second: int
) -> AsyncIterator[None]:
    """Change roles in the organization at this rate while the block runs."""

    async def go_on() -> None:
        for number in itertools.count(1):
            await asyncio.sleep(1 / a_second)
            await change(bare, organization, number)

    if a_second == 0:
        yield
        return
    task = asyncio.create_task(go_on())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def change(bare: BareStack, organization: OrganizationId, number: int) -> None:
    """Give a role to a user, a different one for each number."""
    with suppress(grpc.aio.AioRpcError):
        await bare.write(
            organization,
            [
                RelationshipUpdate(
                    operation=RelationshipUpdate.OPERATION_TOUCH,
                    relationship=Relationship(
                        resource=reference("organization", organization),
                        relation="product",
                        subject=SubjectReference(object=reference("user", f"changed-{number}")),
                    ),
                )
            ],
        )
