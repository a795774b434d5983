"""An organization at a past moment: a sandbox with the relationships of that time answers."""

import asyncio
from dataclasses import dataclass

from teamaccess.audit.state.facts import facts_at
from teamaccess.audit.state.graph import Graph
from teamaccess.audit.state.moment import Moment
from teamaccess.audit.state.queue import AuditQueue
from teamaccess.audit.state.sandboxes import SandboxPool, SandboxState
from teamaccess.audit.state.snapshot import Answer, EngineQuestion, Snapshot
from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition
from teamaccess.ledger import Sessions, database_time
from teamaccess.storage import OrganizationId, UserId


@dataclass(frozen=True)
class PastSource:
    """One organization at a past moment."""

    moment: Moment
    ledger_position: LedgerPosition
    """The newest position of its ledger at that moment."""
    reads: Sessions
    catalog: Catalog
    schema: str
    """The schema that SpiceDB enforced at that moment."""
    _sandboxes: SandboxPool
    _queue: AuditQueue
    _caller: str

    @property
    def organization(self) -> OrganizationId:
        """The organization's id."""
        return self.ledger_position.organization

    async def snapshot(
        self, ask: EngineQuestion[Answer], about: UserId | None = None
    ) -> Snapshot[Answer]:
        """Ask a sandbox that has the relationships of that moment, under the schema then in force.

        The sandbox has the relationships of all users even if the question is about one, so that it can
        also answer the next question. Raises what `SandboxPool.ask` does.
        """
        position, at = self.ledger_position.position, self.moment.at
        async with self._queue.turn(self.organization, self._caller):
            basis, permits = self.moment.basis, self.catalog.schema_allows
            facts = await facts_at(self.reads, self.organization, position, basis, permits)
            graph = await asyncio.to_thread(Graph, self.catalog, self.organization, facts, at)
            state = await asyncio.to_thread(
                SandboxState.of, self.organization, self.schema, facts, self.moment.at
            )
            answer = await self._sandboxes.ask(state, ask)
            async with self.reads() as session:
                now = await database_time(session)
        return Snapshot(answer, self.ledger_position, graph, at, asked_at=now, moment=self.moment)
