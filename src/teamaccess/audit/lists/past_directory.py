"""An organization's directory at a past time, from its ledger and its events."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec
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
from teamaccess.storage import (
    Event,
    LedgerEntry,
    OrganizationId,
    RoleId,
    UserId,
    is_organization_id,
)

LAST_POSITION = 2**63 - 1


class _Kind(NamedTuple):
    """What the lists read of one kind of event."""

    subject: str
    """The type of its subject."""
    needs: str | None = None
    """The detail without which it cannot be read."""


LIST_EVENTS = {
    "member_suspended": _Kind("user"),
    "member_reactivated": _Kind("user"),
    "member_removed": _Kind("user"),
    "member_left": _Kind("user"),
    "membership_ended": _Kind("user"),
    "team_created": _Kind("team", "name"),
    "team_renamed": _Kind("team", "name"),
    "team_deleted": _Kind("team"),
    "member_invited": _Kind("invitation", "expires_at"),
    "invitation_resent": _Kind("invitation", "expires_at"),
    "invitation_offer_changed": _Kind("invitation", "roles"),
    "invitation_cancelled": _Kind("invitation"),
    "invitation_accepted": _Kind("invitation"),
    "invitation_expired": _Kind("invitation"),
}
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


class PastDetails(msgspec.Struct, frozen=True):
    """What the lists read of an event's details."""

    name: str | None = None
    roles: list[RoleId] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class PastEvent(NamedTuple):
    """An event that had occurred by then."""

    kind: str
    actor: str
    subject: str
    """The id of its subject."""
    details: PastDetails
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
    events = (_read(*row) for row in await session.execute(EVENTS, keys))
    return [event for event in events if event is not None]


def _read(
    kind: str, actor: str, subject: str | None, details: object, occurred_at: datetime
) -> PastEvent | None:
    """Return the event, or None if it has another form than the application writes.

    SECURITY: a thief with the database password can append such an event. Events are immutable, so the
    lists leave it out.
    """
    type, _, id = (subject or "").partition(":")
    try:
        known = msgspec.convert(details, PastDetails)
        if known.expires_at is not None:
            known.expires_at.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        return None
    expected = LIST_EVENTS[kind]
    if type != expected.subject or (expected.needs and getattr(known, expected.needs) is None):
        return None
    return PastEvent(kind, actor, id, known, occurred_at)


def _unexpired(facts: Facts, at: datetime) -> list[Fact]:
    found: Iterable[Fact] = facts.current.values()
    return [fact for fact in found if fact.expires_at is None or fact.expires_at > at]
