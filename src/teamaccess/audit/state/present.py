"""An organization as it is now: SpiceDB answers."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.state.facts import facts_at
from teamaccess.audit.state.graph import Graph
from teamaccess.audit.state.queue import AuditQueue
from teamaccess.audit.state.snapshot import Answer, EngineQuestion, Snapshot
from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition, position_of
from teamaccess.directory.organizations.find import get_organization
from teamaccess.engine import FULLY_CONSISTENT, Engine
from teamaccess.ledger import OrganizationBusy, Sessions, database_time
from teamaccess.storage import LedgerHead, OrganizationId, UserId

ATTEMPTS = 5
"""How often the engine is asked again because the organization changed meanwhile."""
PAUSE_SECONDS = 0.2
SWEPT_WITHIN = timedelta(seconds=5)
"""How long SpiceDB may still count an expired relationship, until the sweeper has ended it."""


@dataclass(frozen=True)
class PresentSource:
    """One organization now."""

    organization: OrganizationId
    reads: Sessions
    catalog: Catalog
    _engine: Engine
    _queue: AuditQueue
    _caller: str

    async def snapshot(
        self, ask: EngineQuestion[Answer], about: UserId | None = None
    ) -> Snapshot[Answer]:
        """Ask the engine with full consistency, and read what the ledger records at the same position.

        The engine is at that position before it is asked and after it has answered. Raises
        UnknownOrganization; OtherHistory if SpiceDB and the ledger are at different positions;
        OrganizationBusy if changes follow each other faster than the engine answers, or if no position
        has reached SpiceDB yet.
        """
        async with self._queue.turn(self.organization, self._caller):
            answer, ledger_position = await self._ask_between_changes(ask)
            async with self.reads() as session:
                now = await database_time(session)
            facts = await facts_at(
                self.reads, self.organization, ledger_position.position, about=about
            )
            graph = await asyncio.to_thread(
                Graph, self.catalog, self.organization, facts, now - SWEPT_WITHIN
            )
        return Snapshot(answer, ledger_position, graph, now, asked_at=now)

    async def _ask_between_changes(
        self, ask: EngineQuestion[Answer]
    ) -> tuple[Answer, LedgerPosition]:
        """Return an answer during which nothing changed, and the position of that answer."""
        for _ in range(ATTEMPTS):
            async with self.reads() as session:
                await get_organization(session, self.organization)
                position = await position_of(session, self.organization)
                position = position or await _position_zero(session, self.organization)
            if position is not None:
                await position.prove(self._engine, or_later=True)
                answer = await ask(self._engine, FULLY_CONSISTENT)
                if await position.is_newest(self._engine):
                    return answer, position
            await asyncio.sleep(PAUSE_SECONDS)
        raise OrganizationBusy(organization=self.organization)


async def _position_zero(
    session: AsyncSession, organization: OrganizationId
) -> LedgerPosition | None:
    """Return position 0 of an organization whose ledger is empty, otherwise None."""
    head = await session.get(LedgerHead, organization)
    if head is None or head.position > 0:
        return None
    return LedgerPosition(organization, 0, head.hash, None)
