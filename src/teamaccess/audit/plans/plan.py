"""Plan changes: who would gain and lose which actions, before anything is written."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.own_access import keeping_own_ends
from teamaccess.audit.plans.alike import questions_about
from teamaccess.audit.plans.answers import find_answers
from teamaccess.audit.plans.held_actions import (
    ActionsByUser,
    HeldAction,
    HoldersByAction,
    ObjectGroups,
    find_holders_by_action,
    gained,
    group_objects,
)
from teamaccess.audit.plans.operations.base import Invitations
from teamaccess.audit.plans.proposals import Proposal, make_all
from teamaccess.audit.plans.related_rows import RelatedRows, read_related_rows
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.people import Person, find_people
from teamaccess.audit.sources import AuditSources
from teamaccess.audit.state.facts import Fact, Facts, facts_at
from teamaccess.audit.state.sandboxes import SandboxState
from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger, OrganizationChange, Rehearsal
from teamaccess.common.errors import (
    Conflict,
    Invalid,
    PreconditionFailed,
    TeamaccessError,
    Unavailable,
)
from teamaccess.common.sharing.loop_share import resting_after
from teamaccess.delivery.position import LedgerPosition
from teamaccess.engine import Consistency, Engine
from teamaccess.ledger import Attribution, database_time
from teamaccess.relationships import Relationship
from teamaccess.storage import Channel, OrganizationId, UserId


class StateMoved(PreconditionFailed):
    """The organization changed after the plan was made, so the plan's results may be wrong."""

    message = (
        "{organization} has changed since the plan was made. Its state is now {state}. Plan again."
    )


def state_of(position: LedgerPosition, catalog: Catalog) -> str:
    """Return the name of an organization's state, which a caller sends to apply a plan.

    The catalog is a part of it, because the same roles mean something else under another catalog.
    """
    return f"{position.position}-{position.hash.hex()}@{catalog.version}"


def refuse_moved(change: OrganizationChange, is_planned: Callable[[str], bool]) -> None:
    """Raise StateMoved unless the organization under change is in the planned state."""
    [position] = change.ledger_positions
    state = state_of(position, change.catalog)
    if not is_planned(state):
        raise StateMoved(organization=position.organization, state=state)


PLANNER = Attribution("operator:plan", Channel.OPERATOR, "plan")
"""An operator rehearses the changes, so that the plan shows their effect whatever the caller may do."""


LONGEST_ANSWER_SECONDS = 60
"""How long one plan may delay the next. Each group of objects and each action takes a question."""


class PlanTooLarge(Conflict):
    """The access of all members could not be computed within the time limit of a plan."""

    message = (
        "Computing the access of everybody in {organization} took longer than {seconds} "
        "seconds. Propose less at once."
    )


class NothingProposed(Invalid):
    """A plan has neither changes nor a catalog."""

    message = "The plan is empty. Propose changes, a catalog, or both."


@dataclass(frozen=True)
class AccessChange:
    """What one user would gain and lose."""

    person: Person
    gains: list[HeldAction]
    loses: list[HeldAction]


@dataclass(frozen=True)
class Plan:
    """The effect of proposed changes."""

    evidence: Evidence
    state: str
    """The state from which the plan was made (`state_of`)."""
    catalog: str
    """The version of the catalog that would be in force."""
    updates: list[str]
    """The updates that would be written, as the ledger spells them."""
    orphans: list[str]
    """Relationships that the other catalog does not allow. SpiceDB refuses it while they exist."""
    changes: list[AccessChange]
    """The users who gain or lose something, in the order of their ids."""
    object_groups: ObjectGroups
    """The groups behind the objects in the changes."""
    refusal: TeamaccessError | None
    """Why the caller may not make the changes; None if they may."""


async def plan(
    sources: AuditSources,
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    catalog: Catalog | None = None,
    asker: Attribution | None = None,
    caller: str = "",
) -> Plan:
    """Return who would gain and lose which actions if the changes were made, and the catalog if given.

    The changes are rehearsed as the `asker`, and as an operator if the asker may not make them or is
    None. Then two sandboxes, with the states before and after, answer for everything that the changes
    can reach. A new catalog can reach everybody, so with one the sandboxes hold the whole organization
    and answer for all of it. `caller` names the principal who takes turns with others.

    Raises NothingProposed, the refusals of the changes, PlanTakesTooLong, PlanTooLarge, and what
    `SandboxPool.ask` does.
    """
    if not proposals and catalog is None:
        raise NothingProposed
    # SECURITY: a rehearsal waits for the organization's lock, so it holds no place among the sandboxes
    rehearsed, refusal = await _rehearse(
        ledger, organization, proposals, asker, caller, sources.invitee_key
    )
    async with sources.sandbox_queue.turn(organization, caller):
        try:
            async with asyncio.timeout(LONGEST_ANSWER_SECONDS):
                if catalog is None:
                    effect = await _effect(sources, rehearsed)
                else:
                    effect = await _effect_everywhere(sources, rehearsed.rehearsal, catalog)
        except TimeoutError as late:
            raise PlanTooLarge(organization=organization, seconds=LONGEST_ANSWER_SECONDS) from late
    rehearsal, new_catalog = rehearsed.rehearsal, catalog or sources.catalog
    async with sources.reads() as session:
        affected = await _find_affected(session, rehearsed, {*effect.gains, *effect.loses})
    changes = [
        AccessChange(person, effect.gains.get(user, []), effect.loses.get(user, []))
        for user, person in affected.items()
    ]
    question = query(
        "plan", changes=msgspec.json.encode(proposals).decode(), catalog=new_catalog.version
    )
    return Plan(
        evidence=await _evidence(sources, rehearsal, question, len(changes)),
        state=state_of(rehearsal.ledger_position, sources.catalog),
        catalog=new_catalog.version,
        updates=[str(update) for update in rehearsal.updates],
        orphans=effect.orphans,
        changes=changes,
        object_groups=effect.groups,
        refusal=refusal,
    )


class _Rehearsed(NamedTuple):
    rehearsal: Rehearsal
    related: RelatedRows
    newcomers: Mapping[str, UserId]
    """By address: the ids that stand for people who would join."""


class _Effect(NamedTuple):
    gains: ActionsByUser
    loses: ActionsByUser
    groups: ObjectGroups
    orphans: list[str]


async def _find_affected(
    session: AsyncSession, rehearsed: _Rehearsed, users: Collection[UserId]
) -> dict[UserId, Person]:
    """Return the people in the order of their ids.

    SECURITY: of people who would join, the plan shows only the address that the caller wrote, whether or
    not they are members elsewhere.
    """
    joining = {id: Person(id, email, None) for email, id in rehearsed.newcomers.items()}
    people = await find_people(
        session,
        rehearsed.rehearsal.ledger_position.organization,
        [user for user in users if user not in joining],
    )
    people |= {user: joining[user] for user in users if user in joining}
    return dict(sorted(people.items()))


async def _rehearse(
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    asker: Attribution | None,
    caller: str,
    key: bytes,
) -> tuple[_Rehearsed, TeamaccessError | None]:
    """Rehearse the changes. Return also why the asker may not make them, None if they may."""
    refusal: TeamaccessError | None = None
    if asker is not None:
        try:
            return await _rehearse_as(asker, ledger, organization, proposals, caller, key), None
        except Unavailable:
            raise  # an outage says nothing about the asker's rights
        except TeamaccessError as refused:
            refusal = refused
    user = asker.user if asker is not None else None
    planned = await _rehearse_as(PLANNER, ledger, organization, proposals, caller, key, user)
    return planned, refusal


async def _rehearse_as(
    attribution: Attribution,
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    caller: str,
    key: bytes,
    asker: UserId | None = None,
) -> _Rehearsed:
    related: list[RelatedRows] = []
    newcomers: dict[str, UserId] = {}

    async def act(change: OrganizationChange) -> None:
        change.on_behalf_of_asker = asker
        async with keeping_own_ends(change):
            await make_all(proposals, change, Invitations(key))
        await change.decide()
        updates = [update for entry in change.entries for update in entry.updates]
        related.append(await read_related_rows(change, updates))
        newcomers.update(change.newcomers)

    async with resting_after():
        rehearsal = await ledger.rehearse(attribution, organization, act, caller)
    return _Rehearsed(rehearsal, related[0], newcomers)


async def _effect(sources: AuditSources, rehearsed: _Rehearsed) -> _Effect:
    """Ask two small sandboxes only what the changes can reach."""
    rehearsal, related = rehearsed.rehearsal, rehearsed.related
    asked = await asyncio.to_thread(questions_about, sources.catalog, related)
    if not asked.asks:
        return _Effect({}, {}, asked.groups, [])
    questions = asked.questions

    async def ask(engine: Engine, at: Consistency) -> list[bool]:
        return await find_answers(engine, at, questions)

    schema, answers = sources.catalog.schema(), []
    for state in (asked.before, asked.after):
        facts = Facts({each.identity: _fact(each) for each in state}, {})
        sandbox = SandboxState.of(related.organization, schema, facts, rehearsal.now)
        answers.append(await sources.sandboxes.ask(sandbox, ask))
    gains, loses = asked.gains_and_losses(*answers)
    return _Effect(gains, loses, asked.groups, [])


def _fact(relationship: Relationship) -> Fact:
    identity = relationship.identity
    return Fact(identity, str(relationship)[len(identity) :], began=0, position=0)


async def _effect_everywhere(
    sources: AuditSources, rehearsal: Rehearsal, catalog: Catalog
) -> _Effect:
    """Ask two sandboxes with the whole organization what everybody can do, under each catalog."""
    organization = rehearsal.ledger_position.organization
    position = rehearsal.ledger_position.position
    permits = sources.catalog.schema_allows
    facts = await facts_at(sources.reads, organization, position, permits=permits)
    before = await asyncio.to_thread(_before, sources.catalog, organization, facts, rehearsal)
    after, orphans = await asyncio.to_thread(_after, catalog, organization, facts, rehearsal)
    groups = await asyncio.to_thread(group_objects, organization, before.facts, after.facts)
    holders_before = await _ask_everything(sources, before, sources.catalog, groups)
    holders_after = await _ask_everything(sources, after, catalog, groups)
    return _Effect(
        gained(holders_before, holders_after),
        gained(holders_after, holders_before),
        groups,
        orphans,
    )


def _before(
    catalog: Catalog, organization: OrganizationId, facts: Facts, rehearsal: Rehearsal
) -> SandboxState:
    return SandboxState.of(organization, catalog.schema(), facts, rehearsal.now)


def _after(
    catalog: Catalog, organization: OrganizationId, facts: Facts, rehearsal: Rehearsal
) -> tuple[SandboxState, list[str]]:
    """Apply the rehearsal to the facts; return the new state, and what the catalog does not allow."""
    for update in rehearsal.updates:
        facts.apply(str(update), rehearsal.ledger_position.position + 1, rehearsal.now)
    relationships = {
        identity: Relationship.parse(fact.text) for identity, fact in facts.current.items()
    }
    orphans = [
        identity
        for identity, relationship in relationships.items()
        if not catalog.schema_allows(relationship)
    ]
    texts = sorted(facts.current.pop(identity).text for identity in orphans)
    return SandboxState.of(organization, catalog.schema(), facts, rehearsal.now), texts


async def _ask_everything(
    sources: AuditSources, state: SandboxState, catalog: Catalog, groups: ObjectGroups
) -> HoldersByAction:
    async def ask(engine: Engine, at: Consistency) -> HoldersByAction:
        return await find_holders_by_action(engine, at, catalog, state.organization, groups)

    return await sources.sandboxes.ask(state, ask)


async def _evidence(
    sources: AuditSources, rehearsal: Rehearsal, question: dict[str, str], rows: int
) -> Evidence:
    async with sources.reads() as session:
        now = await database_time(session)
    return Evidence(
        query=question,
        organization=rehearsal.ledger_position.organization,
        asked_at=now,
        at=rehearsal.now,
        position=rehearsal.ledger_position.position,
        hash=rehearsal.ledger_position.hash.hex(),
        catalog=sources.catalog.version,
        rows=rows,
        unexplained=0,
        missing=0,
    )
