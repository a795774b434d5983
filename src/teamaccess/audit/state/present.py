"""An organization as it is: SpiceDB answers."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.state.facts import facts_at
from teamaccess.audit.state.graph import Graph
from teamaccess.audit.state.turns import AuditTurns
from teamaccess.audit.state.view import Answer, Ask, View
from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition, position_of
from teamaccess.directory.organizations.find import get_organization
from teamaccess.engine import FULLY_CONSISTENT, Engine
from teamaccess.ledger import OrganizationBusy, Sessions, database_time
from teamaccess.storage import LedgerHead, OrganizationId, UserId

ATTEMPTS = 5
"""Times that the engine is asked because the organization has changed meanwhile."""
PAUSE_SECONDS = 0.2
SWEPT_WITHIN = timedelta(seconds=5)
"""What has come to its end SpiceDB may still remember for so long, until it is swept."""


@dataclass(frozen=True)
class Present:
    """One organization now."""

    organization: OrganizationId
    reads: Sessions
    catalog: Catalog
    _engine: Engine
    _turns: AuditTurns
    _caller: str

    async def view(self, ask: Ask[Answer], about: UserId | None = None) -> View[Answer]:
        """Ask the engine for the newest, and read what the ledger says at the same position.

        The engine stands there before it is asked and after it has answered. Raises UnknownOrganization;
        OtherHistory where SpiceDB does not stand where the ledger does; OrganizationBusy where changes
        follow each other faster than the engine answers, or none has arrived yet.
        """
        async with self._turns.taken(self.organization, self._caller):
            answer, standing = await self._settled(ask)
            async with self.reads() as session:
                now = await database_time(session)
            here, position = self.organization, standing.position
            facts = await facts_at(self.reads, here, position, about=about)
            graph = await asyncio.to_thread(Graph, self.catalog, here, facts, now - SWEPT_WITHIN)
        return View(answer, standing, graph, now, asked_at=now)

    async def _settled(self, ask: Ask[Answer]) -> tuple[Answer, LedgerPosition]:
        """Return an answer during which nothing has changed, and the position that it was given at."""
        for _ in range(ATTEMPTS):
            async with self.reads() as session:
                await get_organization(session, self.organization)
                standing = await position_of(session, self.organization)
                standing = standing or await _untouched(session, self.organization)
            if standing is not None:
                await standing.prove(self._engine, or_later=True)
                answer = await ask(self._engine, FULLY_CONSISTENT)
                if await standing.is_newest(self._engine):
                    return answer, standing
            await asyncio.sleep(PAUSE_SECONDS)
        raise OrganizationBusy(organization=self.organization)


async def _untouched(session: AsyncSession, organization: OrganizationId) -> LedgerPosition | None:
    """Return where an organization stands in which nothing was decided yet, None if something was."""
    head = await session.get(LedgerHead, organization)
    if head is None or head.position > 0:
        return None
    return LedgerPosition(organization, 0, head.hash, None)
