"""Plan changes: who gains and who loses which action, before anything is written."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from teamaccess.audit.audit import Audit
from teamaccess.audit.plans.holdings import Alike, Holding, Holdings, alike, gained, holdings
from teamaccess.audit.plans.proposals import Proposal, make_all
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.people import Person, people
from teamaccess.audit.state.facts import Facts, facts_at
from teamaccess.audit.state.sandboxes import State
from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger, OrganizationChange, Rehearsal
from teamaccess.common.errors import (
    Conflict,
    Invalid,
    PreconditionFailed,
    TeamaccessError,
    Unavailable,
)
from teamaccess.delivery.position import LedgerPosition
from teamaccess.engine import Consistency, Engine
from teamaccess.ledger import Attribution, database_time
from teamaccess.relationships import Relationship
from teamaccess.storage import Channel, OrganizationId


class StateMoved(PreconditionFailed):
    """The organization changed after the plan was made, so the plan's results may be wrong."""

    message = (
        "{organization} has changed since the plan was made. Its state is now {state}. Plan again."
    )


def state_of(standing: LedgerPosition, catalog: Catalog) -> str:
    """Return how the state of an organization is named to who comes back to it.

    The catalog is a part of it: the same roles would mean something else under another one.
    """
    return f"{standing.position}-{standing.hash.hex()}@{catalog.version}"


def refuse_moved(change: OrganizationChange, planned: Callable[[str], bool]) -> None:
    """Raise StateMoved unless the organization that is changed stands where it was planned."""
    [standing] = change.standing
    now = state_of(standing, change.catalog)
    if not planned(now):
        raise StateMoved(organization=standing.organization, state=now)


AS_IF = Attribution("operator:plan", Channel.OPERATOR, "plan")
"""A plan is about what would come of it; who may bring it about is another question."""


LONGEST_ANSWER_SECONDS = 60
"""How long a plan keeps the next one waiting: objects that differ, and actions, take a question each."""


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
class Shift:
    """What somebody would gain and lose."""

    person: Person
    gains: list[Holding]
    loses: list[Holding]


@dataclass(frozen=True)
class Plan:
    """What would come of it."""

    evidence: Evidence
    state: str
    """What it was made of."""
    catalog: str
    """The version of the catalog that would be in force."""
    updates: list[str]
    """What would be written, as the ledger spells it."""
    orphans: list[str]
    """Relationships that the other catalog has no place for; SpiceDB refuses it while they stand."""
    shifts: list[Shift]
    """Of everybody for whom something changes, in the order of their ids."""
    alike: Alike
    """The objects that those in the shifts stand for."""
    refusal: TeamaccessError | None
    """Why whoever asks may not make the changes themselves; None where they may."""


async def plan(
    audit: Audit,
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    catalog: Catalog | None = None,
    asker: Attribution | None = None,
    caller: str = "",
) -> Plan:
    """Return who would gain and who would lose which action by the changes, under the catalog if given.

    They are made as if, under every rule but those about who makes them; then both states are put into an
    engine each, and it is asked for everything that everybody has. Raises NothingProposed, what refuses
    the changes, PlanTakesTooLong, PlanTooLarge, and what `Sandboxes.ask` does.
    """
    if not proposals and catalog is None:
        raise NothingProposed
    then = catalog or audit.catalog
    async with audit.sandbox_turns.taken(organization, caller):
        rehearsal = await _rehearsed(ledger, organization, proposals, AS_IF, caller)
        refusal = await _refusal(ledger, organization, proposals, asker, caller)
        position, permits = rehearsal.standing.position, audit.catalog.schema_allows
        facts = await facts_at(audit.reads, organization, position, permits=permits)
        before = await asyncio.to_thread(_before, audit.catalog, organization, facts, rehearsal)
        after, orphans = await asyncio.to_thread(_after, then, organization, facts, rehearsal)
        groups = await asyncio.to_thread(alike, organization, before.facts, after.facts)
        try:
            async with asyncio.timeout(LONGEST_ANSWER_SECONDS):
                had = await _asked(audit, before, audit.catalog, groups)
                would_have = await _asked(audit, after, then, groups)
        except TimeoutError as late:
            raise PlanTooLarge(organization=organization, seconds=LONGEST_ANSWER_SECONDS) from late
    shifts = await _shifts(audit, had, would_have)
    asked = query("plan", changes=msgspec.json.encode(proposals).decode(), catalog=then.version)
    return Plan(
        evidence=await _evidence(audit, rehearsal, asked, len(shifts)),
        state=state_of(rehearsal.standing, audit.catalog),
        catalog=then.version,
        updates=[str(update) for update in rehearsal.updates],
        orphans=orphans,
        shifts=shifts,
        alike=groups,
        refusal=refusal,
    )


def _before(
    catalog: Catalog, organization: OrganizationId, facts: Facts, rehearsal: Rehearsal
) -> State:
    return State.of(organization, catalog.schema(), facts, rehearsal.now)


def _after(
    catalog: Catalog, organization: OrganizationId, facts: Facts, rehearsal: Rehearsal
) -> tuple[State, list[str]]:
    """Return the state that it leads to, and what the catalog has no place for; the facts are changed."""
    for update in rehearsal.updates:
        facts.take(str(update), rehearsal.standing.position + 1, rehearsal.now)
    parsed = {identity: Relationship.parse(fact.text) for identity, fact in facts.standing.items()}
    orphans = [
        identity
        for identity, relationship in parsed.items()
        if not catalog.schema_allows(relationship)
    ]
    told = sorted(facts.standing.pop(identity).text for identity in orphans)
    return State.of(organization, catalog.schema(), facts, rehearsal.now), told


async def _rehearsed(
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    attribution: Attribution,
    caller: str,
) -> Rehearsal:
    async def act(change: OrganizationChange) -> None:
        await make_all(proposals, change)

    return await ledger.rehearse(attribution, organization, act, caller)


async def _refusal(
    ledger: Ledger,
    organization: OrganizationId,
    proposals: list[Proposal],
    asker: Attribution | None,
    caller: str,
) -> TeamaccessError | None:
    if asker is None:
        return None
    try:
        await _rehearsed(ledger, organization, proposals, asker, caller)
    except Unavailable:
        raise  # which says nothing about who asks
    except TeamaccessError as refused:
        return refused
    return None


async def _asked(audit: Audit, state: State, catalog: Catalog, groups: Alike) -> Holdings:
    async def ask(engine: Engine, at: Consistency) -> Holdings:
        return await holdings(engine, at, catalog, state.organization, groups)

    return await audit.sandboxes.ask(state, ask)


async def _shifts(audit: Audit, before: Holdings, after: Holdings) -> list[Shift]:
    gains, loses = gained(before, after), gained(after, before)
    async with audit.reads() as session:
        affected = await people(session, {*gains, *loses})
    return [
        Shift(person, gains.get(user, []), loses.get(user, [])) for user, person in affected.items()
    ]


async def _evidence(
    audit: Audit, rehearsal: Rehearsal, asked: dict[str, str], rows: int
) -> Evidence:
    async with audit.reads() as session:
        now = await database_time(session)
    return Evidence(
        query=asked,
        organization=rehearsal.standing.organization,
        asked_at=now,
        at=rehearsal.now,
        position=rehearsal.standing.position,
        hash=rehearsal.standing.hash.hex(),
        catalog=audit.catalog.version,
        rows=rows,
        unexplained=0,
        missing=0,
    )
