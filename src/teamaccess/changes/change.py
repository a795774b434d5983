"""A change of access: opened under a lock, and authorized with nothing pending."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.configuration.limits import Limits
from teamaccess.common.errors import Forbidden
from teamaccess.common.sharing.fairness import Turn
from teamaccess.delivery.position import LedgerPosition, position_before_creation
from teamaccess.engine import Engine
from teamaccess.ledger.entry import Attribution, Entry, OnBehalf
from teamaccess.ledger.session import (
    append_updates,
    drain_notes,
    raise_busy_on_lock_timeout,
    recording_of,
)
from teamaccess.relationships import ObjectReference, Update
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import Channel, OrganizationId, Reason, User, UserId
from teamaccess.storage.advisory_locks import AdvisoryLocks
from teamaccess.storage.directory.user import mailbox

Counted = MutableMapping[tuple[OrganizationId, str], tuple[int, int]]
"""Maps an organization and a limit to a position and the count at that position."""

Asked = tuple[OrganizationId, UserId, OnBehalf | None, ObjectReference | None, frozenset[str]]
"""A question to SpiceDB about one user in a change."""


class OnlyMembersGive(Forbidden):
    """An operator invites or grants, and the invitation or the grant must name a member who gives it."""

    message = (
        "Operators can't invite people or grant actions on objects, because an invitation or a grant"
        " names the member who gives it. Let a member make this change over the API."
    )


@dataclass(frozen=True)
class Receipt:
    """The ledger position of an organization after a change, with its ZedToken once it is enforced."""

    organization: OrganizationId
    position: int
    zed_token: str | None

    @property
    def pending(self) -> bool:
        """Whether SpiceDB has not confirmed the position yet. Position 0 needs no confirmation."""
        return self.zed_token is None and self.position > 0


@dataclass(frozen=True)
class Rehearsal:
    """The result of a rehearsed change, which was rolled back."""

    ledger_position: LedgerPosition
    """The organization's position before the change, completely enforced."""
    now: datetime
    updates: list[Update]


@dataclass
class Change:
    """An open change: a session that holds the locks of its organizations, with nothing pending there."""

    session: AsyncSession
    attribution: Attribution
    catalog: Catalog
    now: datetime
    """The time of PostgreSQL's clock under the locks. It is never before an earlier entry's time."""
    transaction: str
    """The id of the transaction. With it, PostgreSQL can tell later whether it was committed."""
    _engine: Engine
    ledger_positions: list[LedgerPosition]
    """The position of each locked organization when the change was opened, completely enforced."""
    turn: Turn
    """The turn in the queue of this process. Other changes of the organizations wait until the commit."""
    locks: AdvisoryLocks
    """The advisory locks that this change may take."""
    limits: Limits
    """How much one organization and one person may have and do."""
    counted: Counted
    """Counts that this process remembers: how many things an organization had at a position."""
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Functions to call only after the commit, for example to send a mail."""
    event_chains: set[str] = field(default_factory=set)
    """The chains with events of this change."""
    is_rehearsal: bool = False
    """Whether the change will be rolled back. Until then, it must not block other tenants."""
    newcomers: dict[str, UserId] = field(default_factory=dict)
    """In a rehearsal, by address: ids that stand for people who are not members of the organization."""
    foreign_schema: bool = False
    """Whether SpiceDB has a foreign schema. Then a change may only take access away."""
    _held: dict[Asked, frozenset[str]] = field(default_factory=dict)
    """SpiceDB's answers. It has nothing of this change before the commit, and no other change runs
    meanwhile. So the same question has the same answer, and many changes made together ask it once."""
    _proven: set[OrganizationId] = field(default_factory=set)
    _signed_out: list[User] = field(default_factory=list)

    async def permitted(
        self,
        organization: OrganizationId,
        user: UserId,
        permissions: Iterable[str],
        on: ObjectReference | None = None,
    ) -> frozenset[str]:
        """Return which permissions the user has now in the organization, or `on` one of its objects.

        If a service account acts for the member, these are the permissions that both have. Operators are
        allowed everything and have no row in `users`. A user that equals the actor's name in the ledger
        is the operator, because no user has such an id. Raises OtherHistory if SpiceDB is not at the
        ledger's position.
        """
        if self._is_operator(user):
            return frozenset(permissions)
        asked = frozenset(permissions)
        key = (organization, user, self.attribution.on_behalf, on, asked)
        if key not in self._held:
            resource = on or organization_object(organization)
            held = await self._ask(organization, user, {resource: asked})
            self._held[key] = held[resource]
        return self._held[key]

    async def prefetch_permitted(
        self,
        organization: OrganizationId,
        user: UserId,
        asked: Mapping[ObjectReference, frozenset[str]],
    ) -> None:
        """Ask in few calls what `permitted` would ask about each object in a call of its own.

        `permitted` then returns these answers. Raises what `permitted` does.
        """
        if self._is_operator(user):
            return
        both, held = self.attribution.on_behalf, await self._ask(organization, user, asked)
        for on, names in asked.items():
            self._held[organization, user, both, on, names] = held[on]

    async def _ask(
        self,
        organization: OrganizationId,
        user: UserId,
        asked: Mapping[ObjectReference, frozenset[str]],
    ) -> dict[ObjectReference, frozenset[str]]:
        at = next(each for each in self.ledger_positions if each.organization == organization)
        both = self.attribution.on_behalf
        if both is not None and both.member == user:
            guard = self.catalog.guards["act_on_behalf"]
            held = await at.permitted_to_both(self._engine, both, asked, guard)
        else:
            held = await at.permitted_on_each(self._engine, [user], asked)
        self._proven.add(organization)
        return held

    def _is_operator(self, user: UserId) -> bool:
        return self.attribution.channel is Channel.OPERATOR and user == self.attribution.actor

    def position_of(self, organization: OrganizationId) -> int:
        """Return the newest position of a locked organization when the change was opened."""
        return next(at.position for at in self.ledger_positions if at.organization == organization)

    async def prove(self) -> None:
        """Raise OtherHistory unless the engine is at the position of each ledger."""
        for ledger_position in self.ledger_positions:
            if ledger_position.organization not in self._proven:
                await ledger_position.prove(self._engine)
                self._proven.add(ledger_position.organization)

    async def prove_schema(self) -> None:
        """Raise SchemaMismatch unless the engine enforces this catalog's schema.

        It is for a change that creates an organization, which has no position to prove yet.
        """
        await position_before_creation(self.catalog.schema_proof).prove_schema(self._engine)

    def end_sessions(self, user: User) -> None:
        """End the user's sessions with the commit.

        SECURITY: changes of other organizations may need the user's row too. So it is locked just before
        the commit, and not while this change is authorized.
        """
        self._signed_out.append(user)

    async def end_due_sessions(self) -> None:
        """End the sessions of `end_sessions`, just before the commit. Raises OrganizationBusy."""
        if not self._signed_out:
            return
        for user in self._signed_out:
            user.end_sessions(self.now)
        with raise_busy_on_lock_timeout(*(at.organization for at in self.ledger_positions)):
            await self.session.flush()

    async def decide(self) -> dict[OrganizationId, int]:
        """Record the changes so far in the ledger. Return the last position by organization.

        The commit does the same. This is for callers that need the positions before it.
        """
        await self.session.run_sync(drain_notes)
        return {entry.organization: entry.position for entry in self.entries}

    async def record_repairs(self, organization: OrganizationId, updates: list[Update]) -> None:
        """Append repairs of SpiceDB to the ledger: RESTORE and PURGE, and no other updates.

        All other updates are computed from changed rows.
        """
        await self.session.run_sync(append_updates, organization, updates)

    @property
    def in_person(self) -> bool:
        """Whether the actor makes the change themselves, and no service account on their behalf."""
        return self.attribution.on_behalf is None

    def is_either_self(self, user: UserId) -> bool:
        """Return whether the user makes the change, as the member or as the service account."""
        return self.attribution.involves(user)

    @property
    def entries(self) -> list[Entry]:
        """The ledger entries of this change so far."""
        return recording_of(self.session).entries

    @property
    def stopped(self) -> dict[OrganizationId, str]:
        """The stopped organizations, with SpiceDB's refusal of their next entry."""
        return {
            at.organization: at.stopped for at in self.ledger_positions if at.stopped is not None
        }

    def attribute(self, attribution: Attribution) -> None:
        """Set the attribution, if it was not known when the change was opened."""
        self.attribution = attribution
        recording_of(self.session).attribution = attribution

    def store_reason(self, reason: str | None) -> bytes | None:
        """Store the reason. Return the hash by which the ledger and the events name it."""
        if not reason:
            return None
        stored = Reason.of(reason)
        self.session.add(stored)
        recording_of(self.session).reason_hash = stored.hash
        return stored.hash


@dataclass
class OrganizationChange(Change):
    """A change of one organization by one actor.

    The actor is a user. If a service account acts for a member, the actor is the member, and every
    permission is checked for both (`permitted`). An operator or the system has no row in `users`. Then
    `actor` is the name in the ledger, which SpiceDB does not know.
    """

    organization: OrganizationId = field(kw_only=True)
    actor: UserId = field(kw_only=True)

    registered: dict[ObjectReference, UserId | None] = field(default_factory=dict)
    """The objects that this change registers, with their creators. SpiceDB has none of them yet."""

    on_behalf_of_asker: UserId | None = None
    """The user for whom an operator rehearses this change. New rows name them as the giver."""

    @property
    def giver(self) -> UserId:
        """The user that an invitation or a grant names as its giver. Raises OnlyMembersGive."""
        if self.attribution.channel is Channel.OPERATOR:
            if self.on_behalf_of_asker is None:
                raise OnlyMembersGive
            return self.on_behalf_of_asker
        return self.actor

    async def held(
        self, permissions: Iterable[str], on: ObjectReference | None = None
    ) -> frozenset[str]:
        """Return which permissions the actor has in the organization, or `on` one of its objects.

        On an object that this change registers, they are those that the actor will have there.
        """
        if on is not None and on in self.registered:
            return await self._held_on_registered(on, permissions)
        return await self.permitted(self.organization, self.actor, permissions, on)

    async def _held_on_registered(
        self, on: ObjectReference, permissions: Iterable[str]
    ) -> frozenset[str]:
        """Return which permissions the actor will have on an object that this change registers.

        The schema gives every permission on an object to those who have its action throughout the
        organization, and never a four-eyes action to the creator. So SpiceDB is asked about the
        organization, once for all such objects. SECURITY: grants on the object are left aside. They are
        of this change, and nobody may give further what they get in the same change.
        """
        actions, behind = self.catalog.actions, self.catalog.types[on.type].actions
        needed = {verb: actions[behind[verb]] for verb in permissions if verb in behind}
        held = await self.held({action.permission for action in needed.values()})
        creator, both = self.registered[on], self.attribution.on_behalf
        is_creator = creator is not None and creator in (self.actor, both and both.account)
        return frozenset(
            verb
            for verb, action in needed.items()
            if action.permission in held and not (action.four_eyes and is_creator)
        )

    def is_self(self, user: UserId) -> bool:
        """Return whether the user makes this change themselves, in person.

        SECURITY: a user needs no rank for what they do to themselves, and no service account may do it
        for them. This is the only place that decides it (a test looks for others).
        """
        return self.actor == user and self.in_person

    async def is_oneself(self, user: User) -> bool:
        """Return whether the user makes the change, or has the mailbox of the person who makes it."""
        if self.is_either_self(user.id):
            return True
        return user.email is not None and await self.is_own_mailbox(user.email)

    async def is_own_mailbox(self, address: str) -> bool:
        """Return whether the address leads to the actor's mailbox, for example with another +tag."""
        person = await self.session.get(User, self.actor)
        own = person.email if person is not None else None
        return own is not None and mailbox(own) == mailbox(address)

    def is_of(self, user: UserId) -> bool:
        """Return whether the change is the user's, in person or on their behalf."""
        return self.actor == user

    @contextmanager
    def judging(self, member: UserId, account: UserId | None) -> Iterator[None]:
        """Authorize the block as the member's change, or as one that the account makes on their behalf.

        Its entries and events keep the actor of the change.
        """
        actor, attribution = self.actor, self.attribution
        both = OnBehalf(member, account) if account is not None else None
        self.actor, self.attribution = member, replace(attribution, on_behalf=both)
        try:
            yield
        finally:
            self.actor, self.attribution = actor, attribution
