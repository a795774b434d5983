"""One organization at one position: what SpiceDB answers there, and what the ledger says there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from teamaccess.audit.facts import facts_at
from teamaccess.audit.graph import Graph, Path
from teamaccess.catalog import Catalog
from teamaccess.engine import FULLY_CONSISTENT, Consistency, Engine
from teamaccess.ledger import OrganizationBusy, Sessions, UnknownOrganization, clock
from teamaccess.ledger.standing import Standing, standing_of
from teamaccess.models import OrganizationId, is_organization_id
from teamaccess.organizations.find import get_organization

Answer = TypeVar("Answer")
ATTEMPTS = 5
"""Times that the engine is asked because the organization has changed meanwhile."""
PAUSE_SECONDS = 0.2
AT_ONCE = 2
"""Questions under way in a process; the others wait, and services' checks do not."""
SWEPT_WITHIN = timedelta(seconds=5)
"""What has come to its end SpiceDB may still remember for so long, until it is swept."""


@dataclass(frozen=True)
class View(Generic[Answer]):
    """An answer of the engine's, and the ledger at the position that it was given at."""

    answer: Answer
    standing: Standing
    graph: Graph
    """It has what ended only just: SpiceDB may have said yes to it, or no."""
    now: datetime
    """When the engine had answered, by PostgreSQL's clock."""

    def lasting(self, paths: list[Path]) -> bool:
        """Return whether one of the ways has not ended by then."""
        return any(not path.over(self.now) for path in paths)


@dataclass(frozen=True)
class Audit:
    """What an auditor's questions are asked of."""

    reads: Sessions
    engine: Engine
    catalog: Catalog
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def view(
        self,
        organization: OrganizationId,
        ask: Callable[[Engine, Consistency], Awaitable[Answer]],
    ) -> View[Answer]:
        """Ask the engine for the newest, and read what the ledger says at the same position.

        The engine stands there before it is asked and after it has answered. Raises UnknownOrganization;
        OtherHistory where SpiceDB does not stand where the ledger does; OrganizationBusy where changes
        follow each other faster than the engine answers, or none has arrived yet.
        """
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        async with self._free:
            for _ in range(ATTEMPTS):
                async with self.reads() as session:
                    await get_organization(session, organization)
                    standing = await standing_of(session, organization)
                if standing is not None:
                    await standing.prove(self.engine, or_later=True)
                    answer = await ask(self.engine, FULLY_CONSISTENT)
                    if await standing.is_newest(self.engine):
                        break
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                raise OrganizationBusy(organization=organization)
            async with self.reads() as session:
                now = await clock(session)
            facts = await facts_at(self.reads, organization, standing.position)
            graph = await asyncio.to_thread(
                Graph, self.catalog, organization, facts, now - SWEPT_WITHIN
            )
        return View(answer, standing, graph, now)
