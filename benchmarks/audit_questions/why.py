"""The cost of the questions why, why not, and what would allow it."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median
from typing import TypeVar

from sqlalchemy import select

from benchmarks.support import population
from benchmarks.support.report import Row, Table
from teamaccess.audit.questions.why import Why, why
from teamaccess.audit.remedies.remedies import Remedies, remedies_for
from teamaccess.service import Service
from teamaccess.storage import OrganizationId, RoleAssignment, RoleId, UserId

Answer = TypeVar("Answer")

ROLE = RoleId("support")
"""The role of the user in the question."""
HELD, LACKED = "links_access", "webhooks_create"
"""An action that the role contains, and one that it does not."""
ADMINISTRATORS = 3
ROUNDS = 5


async def measure(service: Service, organizations: dict[int, OrganizationId]) -> Table:
    """Add administrators to each organization, user alone may allow anything, and ask there."""
    rows: list[Row] = []
    for members, id in organizations.items():
        await population.add_members(service, id, service.catalog.administrator, ADMINISTRATORS)
        user = await _user_with_role(service, id)
        why_ms, allowed = await _timed(partial(_why, service, id, user, HELD))
        why_not_ms, refused = await _timed(partial(_why, service, id, user, LACKED))
        if not allowed.allowed or refused.allowed:
            raise ValueError(f"{user} of {id}: {allowed.evidence}, {refused.evidence}")
        remedies_ms, remedies = await _timed(partial(_remedies, service, refused))
        if [len(remedy.by) for remedy in remedies.items] != [ADMINISTRATORS]:
            raise ValueError(f"{user} of {id}: {remedies}")
        rows.append(
            {
                "members": f"{members:,}",
                "why ms": why_ms,
                "why not ms": why_not_ms,
                "what would allow it ms": remedies_ms,
            }
        )
    return Table("Audit: why, why not, and what would allow it", rows)


async def _user_with_role(service: Service, organization: OrganizationId) -> UserId:
    held = select(RoleAssignment.user_id).where(
        RoleAssignment.organization_id == organization, RoleAssignment.role == ROLE
    )
    async with service.reads() as session:
        return (await session.execute(held.limit(1))).scalar_one()


async def _why(service: Service, organization: OrganizationId, user: UserId, action: str) -> Why:
    return await why(await service.audit.sources.of(organization), user, action)


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
