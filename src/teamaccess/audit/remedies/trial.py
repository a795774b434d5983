"""Whether a change would allow it, and who may make it: whoever makes it as if is told.

A remedy is sufficient because what came of its rehearsal gives a way, and nobody is named who is refused.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from teamaccess.access.authorize import ADMINISTRATION
from teamaccess.audit.audit import Audit
from teamaccess.audit.questions.people import Person
from teamaccess.audit.remedies.candidates import Candidate, Case
from teamaccess.audit.remedies.reach import beyond
from teamaccess.audit.remedies.rehearsals import Rehearsals, deciders
from teamaccess.audit.remedies.steps import Step
from teamaccess.audit.state.facts import Facts, changed, forward
from teamaccess.changes import Rehearsal
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId

MOST_PEOPLE = 10
"""People who are tried for each remedy, and who are named where somebody else has to do it."""


@dataclass(frozen=True)
class Remedy:
    """Changes, in this order, that would allow it."""

    steps: Sequence[Step]
    adds: Sequence[str]
    """What else comes with it: actions, and on single objects `edit webhook:acme/wh_1`."""
    by: Sequence[Person]
    """Who may make all of them."""
    more: int = 0
    """How many have what guards them, too, and were not tried."""
    operator: bool = False
    """Whether only whoever runs the service may."""


@dataclass
class Trial:
    """Candidates, put to the test one after the other while the organization goes on."""

    audit: Audit
    case: Case
    rehearsals: Rehearsals
    facts: Facts
    """What their actions depend on, as it stands at `position`."""
    position: int
    _guarding: dict[frozenset[str], list[Person]] = field(default_factory=dict)
    """Who has all of these actions, in the order in which they are tried."""

    async def of(self, candidate: Candidate) -> Remedy | None:
        """Return the candidate with everybody who may make it, None where nobody may or it fails.

        Of those who have what guards it administrators are tried first: they are the likeliest.
        """
        able = await self._able(candidate) if self.rehearsals.left else []
        tried, adds, by = 0, None, []
        for person in able[:MOST_PEOPLE]:
            if self.rehearsals.left == 0:
                break
            tried += 1
            made = await self.rehearsals.by(person.user, candidate.steps)
            if made is None:
                continue
            if adds is None and (adds := await self._adds(candidate, made)) is None:
                return None
            by.append(person)
        if adds is None:
            return None
        return Remedy(candidate.steps, adds, sorted(by), len(able) - tried)

    async def by_operator(self, candidate: Candidate) -> Remedy | None:
        """Return the candidate as whoever runs the service may make it, None where it fails."""
        made = await self.rehearsals.by_operator(candidate.steps)
        adds = await self._adds(candidate, made) if made is not None else None
        return Remedy(candidate.steps, adds, (), operator=True) if adds is not None else None

    async def _able(self, candidate: Candidate) -> list[Person]:
        """Return everybody who has what guards the steps, in the order in which they are tried."""
        operations = {step.operation for step in candidate.steps if step.operation is not None}
        if not operations:
            whom = self.case.whom
            return [Person(whom.user, whom.email, None)]  # whose name they have not told here yet
        guards = frozenset(self.case.catalog.guards[each] for each in operations)
        if guards not in self._guarding:
            self._guarding[guards] = await self._having(guards)
        return self._guarding[guards]

    async def _having(self, guards: Iterable[str]) -> list[Person]:
        actions = self.case.catalog.actions
        able = set.intersection(*[await self._who(actions[each].permission) for each in guards])
        found, first = await deciders(self.audit.reads, able), await self._who(ADMINISTRATION)
        return sorted(found, key=lambda each: (each.user not in first, each.user))

    async def _who(self, permission: str) -> set[UserId]:
        """Return everybody who has it throughout the organization, as the engine says it."""
        here = organization_object(self.case.asked.organization)
        found = self.audit.engine.lookup_subjects(here, permission, "user")
        return {UserId(id) async for id in found}

    async def _adds(self, candidate: Candidate, made: Rehearsal) -> list[str] | None:
        """Return what else would come with what was made, None where it would not allow it."""
        await self._catch_up(made.standing.position)
        updates = [*map(str, made.updates), *candidate.accepted]
        return await asyncio.to_thread(self._difference, updates, made.now)

    def _difference(self, updates: list[str], now: datetime) -> list[str] | None:
        then = changed(self.facts, updates, self.position + 1, now)
        before, after = self.case.graph(self.facts, now), self.case.graph(then, now)
        if not self.case.has_way(after):
            return None
        gained = beyond(self.case.catalog, self.case.reach(after), self.case.reach(before))
        return sorted(gained - {self.case.wanted})

    async def _catch_up(self, position: int) -> None:
        """Bring the facts to where the organization stood at the rehearsal."""
        here, after = self.case.asked.organization, self.position
        await forward(self.audit.reads, here, self.facts, after, position)
        self.position = position
