"""An organization as it was: an engine of its own answers, which has what stood then."""

import asyncio
from dataclasses import dataclass

from teamaccess.audit.state.facts import facts_at
from teamaccess.audit.state.graph import Graph
from teamaccess.audit.state.moment import Moment
from teamaccess.audit.state.sandboxes import Sandboxes, State
from teamaccess.audit.state.turns import AuditTurns
from teamaccess.audit.state.view import Answer, Ask, View
from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition
from teamaccess.ledger import Sessions, database_time
from teamaccess.storage import OrganizationId, UserId


@dataclass(frozen=True)
class Past:
    """One organization at a past moment."""

    moment: Moment
    standing: LedgerPosition
    """Where its ledger stood."""
    reads: Sessions
    catalog: Catalog
    schema: str
    """What SpiceDB enforced then."""
    _sandboxes: Sandboxes
    _turns: AuditTurns
    _caller: str

    @property
    def organization(self) -> OrganizationId:
        """Which one."""
        return self.standing.organization

    async def view(self, ask: Ask[Answer], about: UserId | None = None) -> View[Answer]:
        """Ask an engine that has what stood then, under the schema that was in force.

        It has everything, whoever the question is about: so it serves the next one, too. Raises what
        `Sandboxes.ask` does.
        """
        position, at = self.standing.position, self.moment.at
        async with self._turns.taken(self.organization, self._caller):
            basis, permits = self.moment.basis, self.catalog.schema_allows
            facts = await facts_at(self.reads, self.organization, position, basis, permits)
            graph = await asyncio.to_thread(Graph, self.catalog, self.organization, facts, at)
            state = await asyncio.to_thread(
                State.of, self.organization, self.schema, facts, self.moment.at
            )
            answer = await self._sandboxes.ask(state, ask)
            async with self.reads() as session:
                now = await database_time(session)
        return View(answer, self.standing, graph, at, asked_at=now, moment=self.moment)
