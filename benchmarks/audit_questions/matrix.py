"""The matrix, against a check for each member and each action."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionRequest,
    Consistency,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    ZedToken,
)

from benchmarks.support import population
from benchmarks.support.bare_stack import HAS, BareStack, reference
from benchmarks.support.load import Ratio
from benchmarks.support.report import Row, Table
from teamaccess.audit.questions.matrix import Matrix, matrix
from teamaccess.common.progress import Meter
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, UserId

SIZES = (10, 1_000, 10_000)
"""Members of an organization."""
ROLES = ("support", "operations", "developer", "product", "finance_and_accounting")
"""A fifth of the members each."""
ROUNDS = 3
SAMPLE = 2_000
"""Cells that are checked. The time for all cells is computed from their time."""
AT_ONCE = 8
IN_ONE = 100
"""Cells in one CheckBulkPermissions."""
ELSEWHERE = OrganizationId("elsewhere")


class Cell(NamedTuple):
    """One member and one action."""

    user: UserId
    action: str


class Sheet(NamedTuple):
    """An organization at one revision, whose cells are checked."""

    bare: BareStack
    organization: OrganizationId
    at: Consistency

    async def check(self, cell: Cell) -> bool:
        """Return CheckPermission's answer for one cell."""
        response = await self.bare.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=self.at,
                resource=reference("organization", self.organization),
                permission=cell.action,
                subject=SubjectReference(object=reference("user", cell.user)),
            ),
            metadata=self.bare.key,
        )
        return response.permissionship == HAS

    async def check_all(self, cells: Sequence[Cell]) -> list[bool]:
        """Return the answers of one CheckBulkPermissions."""
        resource = reference("organization", self.organization)
        response = await self.bare.engine.CheckBulkPermissions(
            CheckBulkPermissionsRequest(
                consistency=self.at,
                items=[
                    CheckBulkPermissionsRequestItem(
                        resource=resource,
                        permission=cell.action,
                        subject=SubjectReference(object=reference("user", cell.user)),
                    )
                    for cell in cells
                ],
            ),
            metadata=self.bare.key,
        )
        return [pair.item.permissionship == HAS for pair in response.pairs]


async def _one_by_one(sheet: Sheet, cells: Sequence[Cell]) -> list[bool]:
    return [await sheet.check(cell) for cell in cells]


async def _eight_at_once(sheet: Sheet, cells: Sequence[Cell]) -> list[bool]:
    answers = [False] * len(cells)
    waiting = iter(enumerate(cells))

    async def work() -> None:
        for number, cell in waiting:
            answers[number] = await sheet.check(cell)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return answers


async def _in_hundreds(sheet: Sheet, cells: Sequence[Cell]) -> list[bool]:
    hundreds = [cells[start : start + IN_ONE] for start in range(0, len(cells), IN_ONE)]
    return [answer for hundred in hundreds for answer in await sheet.check_all(hundred)]


Way = Callable[[Sheet, Sequence[Cell]], Awaitable[list[bool]]]
WAYS: Mapping[str, Way] = {
    "CheckPermission, one after another": _one_by_one,
    f"CheckPermission, {AT_ONCE} at once": _eight_at_once,
    f"CheckBulkPermissions of {IN_ONE}, one after another": _in_hundreds,
}
OURS = "the matrix"


async def measure(service: Service, bare: BareStack) -> list[Table]:
    """Ask for the matrix and check cells of it, in turns, for larger and larger organizations."""
    rows: list[Row] = []
    for members in SIZES:
        id = await population.create_organization(service)
        await population.import_members(service, id, ROLES, members)
        rows += await _compare(service, bare, id, members)
    return [Table("Audit: everybody by everything, against a check for each", rows)]


async def _compare(
    service: Service, bare: BareStack, organization: OrganizationId, members: int
) -> list[Row]:
    seconds: dict[str, list[float]] = defaultdict(list)
    checked: dict[str, int] = {}
    with Meter(f"audit, the matrix of {members:,}", "rounds", ROUNDS) as meter:
        source = await service.audit.sources.of(organization)
        await matrix(source)  # connections and prepared statements
        for number in range(ROUNDS):
            await _new_revision(bare)
            began = time.perf_counter()
            answer = await matrix(source)
            seconds[OURS].append(time.perf_counter() - began)
            if len(answer.members) != members or answer.evidence.unexplained:
                raise ValueError(f"{answer.evidence} of {members}")
            some, cells = _some(answer, number), members * len(answer.actions)
            checked[OURS] = cells
            for name, way in WAYS.items():
                took = await _ask(bare, organization, way, some)
                seconds[name].append(took * cells / len(some))
                checked[name] = len(some)
            meter.step()
    return [_row(members, name, checked, seconds) for name in seconds]


def _row(
    members: int, name: str, checked: Mapping[str, int], seconds: Mapping[str, list[float]]
) -> Row:
    slower = Ratio([one / other for one, other in zip(seconds[name], seconds[OURS], strict=True)])
    return {
        "members": f"{members:,}",
        "cells": f"{checked[OURS]:,}",
        "asked": name,
        "cells asked": f"{checked[name]:,}",
        "seconds for all": median(seconds[name]),
        "times the matrix": slower.median,
        "of rounds": slower.spread,
    }


def _some(answer: Matrix, number: int) -> dict[Cell, bool]:
    """Return all cells of some members, different ones in each round, and the matrix's answers."""
    most = SAMPLE // len(answer.actions)
    step = max(1, len(answer.members) // most)
    return {
        Cell(member.person.user, action): action in member.actions
        for member in answer.members[number % step :: step][:most]
        for action in answer.actions
    }


async def _ask(
    bare: BareStack, organization: OrganizationId, way: Way, some: Mapping[Cell, bool]
) -> float:
    """Return the seconds for these cells. Raises ValueError if the matrix says otherwise."""
    sheet = Sheet(bare, organization, await _new_revision(bare))
    began = time.perf_counter()
    answers = await way(sheet, list(some))
    took = time.perf_counter() - began
    if answers != list(some.values()):
        raise ValueError(f"the matrix of {organization} and {way.__name__} differ")
    return took


async def _new_revision(bare: BareStack) -> Consistency:
    """Write to another organization, so that no cached answer counts; return that revision."""
    update = RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_TOUCH,
        relationship=Relationship(
            resource=reference("organization", ELSEWHERE),
            relation="product",
            subject=SubjectReference(object=reference("user", f"usr_{time.monotonic_ns()}")),
        ),
    )
    await bare.write(ELSEWHERE, [update])
    return Consistency(at_exact_snapshot=ZedToken(token=bare.newest[ELSEWHERE]))
