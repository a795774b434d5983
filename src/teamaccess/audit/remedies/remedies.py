"""Remedies: the smallest changes that would allow a denied action, and the people who may make them.

Every remedy in an answer was rehearsed (see `trial`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from teamaccess.audit.questions.holders import users_with
from teamaccess.audit.questions.people import Person
from teamaccess.audit.questions.why import Why
from teamaccess.audit.remedies.action_sets import facts_about
from teamaccess.audit.remedies.candidates import RemedyCase
from teamaccess.audit.remedies.rehearsals import Rehearsals, only_people
from teamaccess.audit.remedies.steps import RemedyTarget
from teamaccess.audit.remedies.trial import MOST_PEOPLE, Remedy, Trial
from teamaccess.audit.sources import AuditSources
from teamaccess.changes import Ledger
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.members.find import find_member
from teamaccess.ledger import OrganizationStopped
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import User

MOST_REMEDIES = 5
"""Remedies in one answer."""


@dataclass(frozen=True)
class Remedies:
    """The remedies for one denied action, or the reason why there are none."""

    items: Sequence[Remedy] = ()
    """The one that adds the fewest other actions is the first."""
    none_because: str | None = None
    """Why there are no remedies."""
    instead: Sequence[Person] = ()
    """People who can do it now, if the four-eyes rule always denies it to the user."""
    more: int = 0
    """How many other people can."""


async def remedies_for(
    sources: AuditSources, ledger: Ledger, invitee_key: bytes, answer: Why, caller: str = ""
) -> Remedies:
    """Return the remedies for a denied action: none if it is allowed, or if the answer is about the past.

    `invitee_key` is the key with which invited addresses are hashed for SpiceDB. Nothing is changed, but
    each of at most `rehearsals.MOST_PER_QUESTION` rehearsals delays the organization's other changes.
    Raises OrganizationBusy, OtherHistory and EngineUnavailable.
    """
    question, graph = answer.question, answer.snapshot.graph
    if answer.allowed or answer.snapshot.moment is not None:
        return Remedies()
    if answer.obstacle is not None and answer.obstacle.code == "not_enforced":
        return Remedies(
            none_because="No change is needed: `teamaccess reconcile --apply` restores it."
        )
    if (on := question.on) is not None:
        organization = organization_object(question.organization)
        if graph.fact(on, "organization", organization) is None:
            return Remedies(none_because=f"No change helps while {on} is not registered.")
        four_eyes = sources.catalog.actions[question.catalog_action(sources.catalog)].four_eyes
        if four_eyes and graph.fact(on, "creator", user_object(question.user)) is not None:
            return await _people_instead(sources, on, question.action)
    try:
        async with sources.queue.turn(question.organization, caller):
            items = await _search(sources, ledger, invitee_key, answer, caller)
    except OrganizationStopped as stopped:
        return Remedies(none_because=stopped.detail)
    if not items:
        return Remedies(none_because="No change that anybody may make would allow it.")
    return Remedies(items)


async def _people_instead(sources: AuditSources, on: ObjectReference, action: str) -> Remedies:
    able = await users_with(sources.engine, on, action)
    people = await only_people(sources.reads, able)
    none_because = f"No change helps: somebody else must do {action} on {on}."
    return Remedies((), none_because, people[:MOST_PEOPLE], len(people[MOST_PEOPLE:]))


async def _search(
    sources: AuditSources, ledger: Ledger, invitee_key: bytes, answer: Why, caller: str
) -> list[Remedy]:
    """Return the remedies. The one that adds the fewest other actions is the first."""
    snapshot, question = answer.snapshot, answer.question
    facts = await asyncio.to_thread(facts_about, snapshot.graph.facts, question.user, question.on)
    case = await _case(sources, invitee_key, answer)
    rehearsals = Rehearsals(ledger, question.organization, caller)
    trial = Trial(sources, case, rehearsals, facts, snapshot.ledger_position.position)
    candidates = await asyncio.to_thread(case.candidates, facts, trial.position, snapshot.now)
    remedies: list[Remedy] = []
    for candidate in candidates:
        if (
            len(remedies) < MOST_REMEDIES
            and (remedy := await trial.by_people(candidate)) is not None
        ):
            remedies.append(remedy)
    if not remedies and (last_resort := case.last_resort(facts, snapshot.now)) is not None:
        by_operator = await trial.by_operator(last_resort)
        remedies += [by_operator] if by_operator is not None else []
    if not remedies:  # a SpiceDB with another history would also have named nobody
        await snapshot.ledger_position.prove(sources.engine, or_later=True)
    return sorted(remedies, key=lambda remedy: (len(remedy.adds), remedy.steps[-1].sentence))


async def _case(sources: AuditSources, invitee_key: bytes, answer: Why) -> RemedyCase:
    organization, user_id = answer.question.organization, answer.question.user
    async with sources.reads() as session:
        member = await find_member(session, organization, user_id)
        user = await session.get(User, user_id)
        email = user.email if user is not None else None
        invitation = (
            await open_invitation(session, organization, email) if email is not None else None
        )
    display_name = answer.question.display_name
    if invitation is not None and email is not None:  # the organization knows the address then
        display_name = email
    target = RemedyTarget(organization, user_id, email, display_name)
    return RemedyCase(sources.catalog, answer.question, target, member, invitation, invitee_key)
