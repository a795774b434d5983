"""An organization's directory at a past time, from its ledger and its events."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Text, any_, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.decisions import Decision, find_decisions
from teamaccess.audit.sources import AuditSources
from teamaccess.audit.state.facts import Fact, Facts, facts_at
from teamaccess.audit.state.moment import Moment
from teamaccess.audit.state.past import PastSource
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Invalid
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import Event, LedgerEntry, OrganizationId, UserId, is_organization_id

LAST_POSITION = 2**63 - 1
LIST_EVENTS = (
    "member_suspended",
    "member_reactivated",
    "member_removed",
    "member_left",
    "membership_ended",
    "team_created",
    "team_renamed",
    "team_deleted",
    "member_invited",
    "invitation_resent",
    "invitation_offer_changed",
    "invitation_cancelled",
    "invitation_accepted",
    "invitation_expired",
)
"""The kinds of events that the lists need in addition to the ledger."""
EVENTS = (
    select(Event.kind, Event.actor, Event.subject, Event.details, Event.occurred_at)
    .where(
        Event.chain == bindparam("organization"),
        Event.kind == any_(bindparam("kinds", type_=ARRAY(Text))),
        Event.occurred_at <= bindparam("at"),
    )
    .order_by(Event.position)
)


class PositionAhead(Invalid):
    """`at` is a position that the ledger does not have."""

    message = (
        "{organization} has no ledger position {position}. Its newest is {newest}. Leave `at` out to "
        "ask about the present."
    )


class PastEvent(NamedTuple):
    """An event that had occurred by then."""

    kind: str
    actor: str
    subject: str
    """The id of its subject."""
    details: dict[str, Any]
    occurred_at: datetime


@dataclass(frozen=True)
class PastDirectory:
    """What the ledger and the events of an organization recorded by a past time. Names are today's."""

    organization: OrganizationId
    at: datetime
    catalog: Catalog
    """The access model that was in force."""
    facts: Sequence[Fact]
    """The relationships that had not expired."""
    events: Sequence[PastEvent]
    """Oldest first."""
    _decisions: dict[int, Decision]

    def began(self, fact: Fact) -> datetime:
        """Return when the relationship began."""
        return self._decisions[fact.began].decided_at

    def giver(self, fact: Fact) -> UserId:
        """Return the user who made the relationship, or the name of the operator."""
        actor = self._decisions[fact.began].actor.partition(" ")[0]
        return UserId(actor.removeprefix("user:"))

    def of(self, resource: str) -> list[tuple[str, str, Fact]]:
        """Return the relations and subjects of one resource, such as `organization:acme`."""
        return [
            (relation, subject, fact)
            for fact in self.facts
            for userset, _, subject in [fact.identity.partition("@")]
            for on, _, relation in [userset.partition("#")]
            if on == resource
        ]

    def by_local_id(self, type: str) -> dict[str, list[tuple[str, str, Fact]]]:
        """Return the relations and subjects of all resources of a type, by their ids."""
        prefix = f"{type}:{self.organization}/"
        found: dict[str, list[tuple[str, str, Fact]]] = defaultdict(list)
        for fact in self.facts:
            if fact.identity.startswith(prefix):
                userset, _, subject = fact.identity.partition("@")
                on, _, relation = userset.partition("#")
                found[on.removeprefix(prefix)].append((relation, subject, fact))
        return found

    def events_by_subject(self, *kinds: str) -> dict[str, list[PastEvent]]:
        """Return the events of these kinds by the ids of their subjects, oldest first."""
        found: dict[str, list[PastEvent]] = defaultdict(list)
        for event in self.events:
            if event.kind in kinds:
                found[event.subject].append(event)
        return found


async def directory_at(
    sources: AuditSources, organization: OrganizationId, at: datetime | int, caller: str
) -> PastDirectory:
    """Return the directory at a time, or right after a ledger position.

    Raises PositionAhead, UnknownOrganization, and what `AuditSources.of` does for a moment.
    """
    if not is_organization_id(organization):
        raise UnknownOrganization(organization=organization)
    position = at if isinstance(at, int) else None
    if isinstance(at, int):
        async with sources.reads() as session:
            moment = await _time_of(session, organization, at)
    else:
        moment = at
    source = await sources.of(organization, Moment(moment), caller)
    if not isinstance(source, PastSource):
        raise TypeError(f"{source} is not the organization at a past moment")
    until = position if position is not None else source.ledger_position.position
    async with sources.sandbox_queue.turn(organization, caller):
        facts = await facts_at(sources.reads, organization, until)
        current = _unexpired(facts, moment)
        async with sources.reads() as session:
            decisions = await find_decisions(
                session, organization, {fact.began for fact in current}
            )
            events = await _events(session, organization, moment)
    return PastDirectory(
        organization, moment.astimezone(UTC), source.catalog, current, events, decisions
    )


async def _time_of(session: AsyncSession, organization: OrganizationId, position: int) -> datetime:
    """Return when a position was decided. Raises PositionAhead."""
    own = LedgerEntry.organization_id == organization
    if position <= LAST_POSITION:
        decided: datetime | None = await session.scalar(
            select(LedgerEntry.decided_at).where(own, LedgerEntry.position == position)
        )
        if decided is not None:
            return decided
    newest = await session.scalar(select(func.max(LedgerEntry.position)).where(own))
    raise PositionAhead(organization=organization, position=position, newest=newest or 0)


async def _events(
    session: AsyncSession, organization: OrganizationId, at: datetime
) -> list[PastEvent]:
    keys = {"organization": organization, "kinds": list(LIST_EVENTS), "at": at}
    return [
        PastEvent(kind, actor, subject.partition(":")[2], details, occurred_at)
        for kind, actor, subject, details, occurred_at in await session.execute(EVENTS, keys)
    ]


def _unexpired(facts: Facts, at: datetime) -> list[Fact]:
    found: Iterable[Fact] = facts.current.values()
    return [fact for fact in found if fact.expires_at is None or fact.expires_at > at]
