"""Tests whether a candidate would allow the action, and who may make it, by rehearsing it.

A remedy is sufficient because the result of its rehearsal contains a path to the action. It names
only people whose own rehearsal was accepted.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from teamaccess.access.authorize import ADMINISTRATION
from teamaccess.audit.questions.holders import users_with
from teamaccess.audit.questions.people import Person
from teamaccess.audit.remedies.action_sets import new_actions
from teamaccess.audit.remedies.candidates import Candidate, RemedyCase
from teamaccess.audit.remedies.rehearsals import Rehearsals, only_people
from teamaccess.audit.remedies.steps import Step
from teamaccess.audit.sources import AuditSources
from teamaccess.audit.state.facts import Facts, advance, with_updates
from teamaccess.changes import Rehearsal
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId

MOST_PEOPLE = 10
"""How many people are tried for each remedy. At most that many are named as able to make it."""


@dataclass(frozen=True)
class Remedy:
    """Changes that would allow the action, in this order."""

    steps: Sequence[Step]
    adds: Sequence[str]
    """The other actions that they add; on single objects as in `edit webhook:acme/wh_1`."""
    by: Sequence[Person]
    """The people who may make all of them."""
    more: int = 0
    """How many other people hold the guards of the steps. They were not tried."""
    operator: bool = False
    """Whether only an operator may make them."""


@dataclass
class Trial:
    """Tests candidates one after another, while the organization goes on changing."""

    sources: AuditSources
    case: RemedyCase
    rehearsals: Rehearsals
    facts: Facts
    """The facts on which the user's actions depend, at `position`."""
    position: int
    _by_guards: dict[frozenset[str], list[Person]] = field(default_factory=dict)
    """People who hold all of these guards, in the order in which they are tried."""

    async def by_people(self, candidate: Candidate) -> Remedy | None:
        """Return the candidate with the people who may make it, None if nobody may or it fails.

        Administrators are tried first, because they are the most likely to be allowed.
        """
        able = await self._able(candidate) if self.rehearsals.remaining else []
        tried, adds, by = 0, None, []
        for person in able[:MOST_PEOPLE]:
            if self.rehearsals.remaining == 0:
                break
            tried += 1
            rehearsal = await self.rehearsals.as_person(person.user, candidate.steps)
            if rehearsal is None:
                continue
            if adds is None and (adds := await self._adds(candidate, rehearsal)) is None:
                return None
            by.append(person)
        if adds is None:
            return None
        return Remedy(candidate.steps, adds, sorted(by), len(able) - tried)

    async def by_operator(self, candidate: Candidate) -> Remedy | None:
        """Return the candidate as a remedy for an operator to make, None if it fails."""
        rehearsal = await self.rehearsals.as_operator(candidate.steps)
        adds = await self._adds(candidate, rehearsal) if rehearsal is not None else None
        return Remedy(candidate.steps, adds, (), operator=True) if adds is not None else None

    async def _able(self, candidate: Candidate) -> list[Person]:
        """Return the people who hold the guards of all steps, in the order in which they are tried."""
        operations = {step.operation for step in candidate.steps if step.operation is not None}
        if not operations:
            target = self.case.target
            return [Person(target.user, target.email, None)]  # no name: they have not joined yet
        guards = frozenset(self.case.catalog.guards[operation] for operation in operations)
        if guards not in self._by_guards:
            self._by_guards[guards] = await self._people_with_all(guards)
        return self._by_guards[guards]

    async def _people_with_all(self, guards: Iterable[str]) -> list[Person]:
        actions = self.case.catalog.actions
        able = set.intersection(
            *[await self._users_with(actions[guard].permission) for guard in guards]
        )
        people = await only_people(self.sources.reads, able)
        administrators = await self._users_with(ADMINISTRATION)
        return sorted(people, key=lambda person: (person.user not in administrators, person.user))

    async def _users_with(self, permission: str) -> set[UserId]:
        """Return the users who have a permission throughout the organization, by the engine's answer."""
        organization = organization_object(self.case.question.organization)
        return await users_with(self.sources.engine, organization, permission)

    async def _adds(self, candidate: Candidate, rehearsal: Rehearsal) -> list[str] | None:
        """Return the other actions that the rehearsal adds, None if it would not allow the action."""
        await self._advance_to(rehearsal.ledger_position.position)
        updates = [*map(str, rehearsal.updates), *candidate.accepted]
        return await asyncio.to_thread(self._added_by, updates, rehearsal.now)

    def _added_by(self, updates: list[str], now: datetime) -> list[str] | None:
        facts_after = with_updates(self.facts, updates, self.position + 1, now)
        before, after = self.case.graph(self.facts, now), self.case.graph(facts_after, now)
        if not self.case.has_path(after):
            return None
        added = new_actions(self.case.catalog, self.case.actions(after), self.case.actions(before))
        return sorted(added - {self.case.missing_action})

    async def _advance_to(self, position: int) -> None:
        """Advance the facts to the organization's position at the rehearsal."""
        organization = self.case.question.organization
        await advance(self.sources.reads, organization, self.facts, self.position, position)
        self.position = position
