"""What it costs to ask why somebody can do something, why not, and what would allow it."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from typing import TypeVar

from sqlalchemy import select

from benchmarks import population
from benchmarks.report import Row, Table
from teamaccess.audit.questions.why import Why, why
from teamaccess.audit.remedies.remedies import Remedies, remedies_for
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, RoleAssignment, RoleId, UserId

Answer = TypeVar("Answer")

ROLE = RoleId("support")
"""Of whom is asked about."""
HELD, LACKED = "links_access", "webhooks_create"
"""What that role has, and what it has not."""
ADMINISTRATORS = 3
ROUNDS = 5


async def measure(service: Service, organizations: dict[int, OrganizationId]) -> Table:
    """Ask in each of the organizations, which get administrators: nobody else may allow anything."""
    rows: list[Row] = []
    for members, id in organizations.items():
        await population.join(service, id, service.catalog.administrator, ADMINISTRATORS)
        who = await _somebody(service, id)
        yes, allowed = await _timed(partial(_why, service, id, who, HELD))
        no, refused = await _timed(partial(_why, service, id, who, LACKED))
        if not allowed.allowed or refused.allowed:
            raise ValueError(f"{who} of {id}: {allowed.evidence}, {refused.evidence}")
        found, remedies = await _timed(partial(_remedies, service, refused))
        if [len(each.by) for each in remedies.items] != [ADMINISTRATORS]:
            raise ValueError(f"{who} of {id}: {remedies}")
        rows.append(
            {
                "members": f"{members:,}",
                "why ms": yes,
                "why not ms": no,
                "what would allow it ms": found,
            }
        )
    return Table("Audit: why, why not, and what would allow it", rows)


async def _somebody(service: Service, organization: OrganizationId) -> UserId:
    held = select(RoleAssignment.user_id).where(
        RoleAssignment.organization_id == organization, RoleAssignment.role == ROLE
    )
    async with service.reads() as session:
        return (await session.execute(held.limit(1))).scalar_one()


async def _why(service: Service, organization: OrganizationId, who: UserId, action: str) -> Why:
    return await why(await service.audit.sources.of(organization), who, action)


async def _remedies(service: Service, refused: Why) -> Remedies:
    return await remedies_for(service.audit.sources, service.ledger, service.keys.invitees, refused)


async def _timed(ask: Callable[[], Awaitable[Answer]]) -> tuple[float, Answer]:
    """Return the median in milliseconds, and the last answer."""
    answers, took = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answers.append(await ask())
        took.append(1000 * (time.perf_counter() - began))
    return median(took), answers[-1]
