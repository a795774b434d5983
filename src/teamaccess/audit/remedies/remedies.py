"""What would allow what somebody cannot do: the least changes, and who may make each.

Nothing is named that was not rehearsed: see `trial`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from teamaccess.audit.audit import Audit
from teamaccess.audit.questions.people import Person
from teamaccess.audit.questions.why import Why
from teamaccess.audit.remedies.candidates import Case
from teamaccess.audit.remedies.reach import concerning
from teamaccess.audit.remedies.rehearsals import Rehearsals, deciders
from teamaccess.audit.remedies.steps import RemedyTarget
from teamaccess.audit.remedies.trial import MOST_PEOPLE, Remedy, Trial
from teamaccess.changes import Ledger
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.members.find import find_member
from teamaccess.ledger import OrganizationStopped
from teamaccess.relationships import ObjectReference, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import User, UserId

MOST = 5
"""Remedies that are named."""


@dataclass(frozen=True)
class Remedies:
    """What would allow it."""

    items: Sequence[Remedy] = ()
    """What adds least first."""
    nothing: str | None = None
    """Why there is none."""
    instead: Sequence[Person] = ()
    """Who can do it now, where it is never for the one who was asked about."""
    more: int = 0
    """How many others can."""


async def remedies_for(
    audit: Audit, ledger: Ledger, invitees: bytes, found: Why, asker: str = ""
) -> Remedies:
    """Return what would allow what was found to be refused; nothing where it is allowed, or was.

    `invitees` is the key by which SpiceDB knows addresses. Nothing is changed, but the organization's
    other changes wait for each rehearsal, `rehearsals.MOST_FOR_ONE` of them at most. Raises
    OrganizationBusy, OtherHistory and EngineUnavailable.
    """
    question, graph = found.asked, found.view.graph
    if found.allowed or found.view.moment is not None:
        return Remedies()
    if found.obstacle is not None and found.obstacle.code == "not_enforced":
        return Remedies(nothing="Nothing has to be decided: `teamaccess reconcile` brings it back.")
    if (on := question.on) is not None:
        here = organization_object(question.organization)
        if graph.fact(on, "organization", here) is None:
            return Remedies(nothing=f"No change helps while {on} is not registered.")
        four_eyes = audit.catalog.actions[question.behind(audit.catalog)].four_eyes
        if four_eyes and graph.fact(on, "creator", user(question.who)) is not None:
            return await _instead(audit, on, question.action)
    try:
        async with audit.turns.taken(question.organization, asker):
            items = await _searched(audit, ledger, invitees, found, asker)
    except OrganizationStopped as stopped:
        return Remedies(nothing=stopped.detail)
    return Remedies(items, None if items else "No change that somebody may make would allow it.")


async def _instead(audit: Audit, on: ObjectReference, action: str) -> Remedies:
    able = {UserId(id) async for id in audit.engine.lookup_subjects(on, action, "user")}
    others = await deciders(audit.reads, able)
    told = f"No change helps: {action} on {on} takes somebody else."
    return Remedies((), told, others[:MOST_PEOPLE], len(others[MOST_PEOPLE:]))


async def _searched(
    audit: Audit, ledger: Ledger, invitees: bytes, found: Why, asker: str
) -> list[Remedy]:
    """Return the remedies, what adds least first."""
    view, here = found.view, found.asked.organization
    facts = await asyncio.to_thread(concerning, view.graph.facts, found.asked.who, found.asked.on)
    case = await _case(audit, invitees, found)
    trial = Trial(audit, case, Rehearsals(ledger, here, asker), facts, view.standing.position)
    candidates = await asyncio.to_thread(case.candidates, facts, trial.position, view.now)
    remedies: list[Remedy] = []
    for candidate in candidates:
        if len(remedies) < MOST and (remedy := await trial.of(candidate)) is not None:
            remedies.append(remedy)
    if not remedies and (last := case.last_resort(facts, view.now)) is not None:
        by_operator = await trial.by_operator(last)
        remedies += [by_operator] if by_operator is not None else []
    if not remedies:  # a SpiceDB of another history would have named nobody
        await view.standing.prove(audit.engine, or_later=True)
    return sorted(remedies, key=lambda each: (len(each.adds), each.steps[-1].sentence))


async def _case(audit: Audit, invitees: bytes, found: Why) -> Case:
    here, who = found.asked.organization, found.asked.who
    async with audit.reads() as session:
        member = await find_member(session, here, who)
        person = await session.get(User, who)
        email = person.email if person is not None else None
        offered = await open_invitation(session, here, email) if email is not None else None
    called = email if offered is not None and email is not None else found.asked.called
    whom = RemedyTarget(here, who, email, called)
    return Case(audit.catalog, found.asked, whom, member, offered, invitees)
