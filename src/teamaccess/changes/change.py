"""A change of who may do what: opened under a lock, judged on a fresh graph."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.fairness import Turn
from teamaccess.common.limits import Limits
from teamaccess.delivery.position import LedgerPosition, position_before_creation
from teamaccess.engine import Engine
from teamaccess.ledger.entry import Attribution, Entry, OnBehalf
from teamaccess.ledger.session import append, drain, recording_of, refusing_busy
from teamaccess.relationships import ObjectReference, Update
from teamaccess.storage import Channel, OrganizationId, Reason, User, UserId

Counted = MutableMapping[tuple[OrganizationId, str], tuple[int, int]]
"""By organization and limit, a position and a count."""


@dataclass(frozen=True)
class Receipt:
    """How far an organization's ledger has come by a change, and the token once it is enforced."""

    organization: OrganizationId
    position: int
    zed_token: str | None

    @property
    def pending(self) -> bool:
        """Whether SpiceDB has not confirmed it yet; at position 0 there is nothing to confirm."""
        return self.zed_token is None and self.position > 0


@dataclass(frozen=True)
class Rehearsal:
    """What a change would have come to that was made as if."""

    standing: LedgerPosition
    """Where the organization stood, all of it enforced."""
    now: datetime
    updates: list[Update]


@dataclass
class Change:
    """An open change: a session under the locks of its organizations, with nothing pending there."""

    session: AsyncSession
    attribution: Attribution
    catalog: Catalog
    now: datetime
    """Of PostgreSQL's clock, taken under the locks, never before an earlier decision."""
    transaction: str
    """Its id, by which PostgreSQL can be asked later whether it was committed."""
    _engine: Engine
    standing: list[LedgerPosition]
    """Where each locked organization stood when the change was opened, all of it enforced."""
    turn: Turn
    """What keeps the others of this process waiting, until the commit."""
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What must not happen unless the change is committed, such as sending a mail."""
    told: set[str] = field(default_factory=set)
    """The chains that have events of it."""
    limits: Limits = field(default_factory=Limits)
    """How much one organization and one person may have and do."""
    counted: Counted = field(default_factory=dict)
    """How many things of a kind an organization had at a position, as this process has counted."""
    foreign_schema: bool = False
    """Whether SpiceDB was given a schema that nobody recorded: then a change may only take away."""
    _proven: set[OrganizationId] = field(default_factory=set)
    _signed_out: list[User] = field(default_factory=list)

    async def permitted(
        self,
        organization: OrganizationId,
        user: UserId,
        permissions: Iterable[str],
        on: ObjectReference | None = None,
    ) -> frozenset[str]:
        """Return which permissions the user has, as the engine says it now.

        They are permissions in the organization, or on one of its objects (`on`). For a member whom a
        service account acts for, they are the permissions that both have. Operators are allowed
        everything and have no row in `users`: an operator's name in the ledger is no user's id, so a
        user that equals it is the operator. Raises OtherHistory where SpiceDB and the ledger differ.
        """
        if self.attribution.channel is Channel.OPERATOR and user == self.attribution.actor:
            return frozenset(permissions)
        standing = next(at for at in self.standing if at.organization == organization)
        both = self.attribution.on_behalf
        if both is not None and both.member == user:
            guard = self.catalog.guards["act_on_behalf"]
            held = await standing.permitted_to_both(self._engine, both, permissions, guard, on=on)
        else:
            held = await standing.permitted(self._engine, user, permissions, on=on)
        self._proven.add(organization)
        return held

    def position_of(self, organization: OrganizationId) -> int:
        """Return the newest position of a locked organization when the change was opened."""
        return next(at.position for at in self.standing if at.organization == organization)

    async def prove(self) -> None:
        """Return if the engine stands where each ledger does; raises OtherHistory."""
        for standing in self.standing:
            if standing.organization not in self._proven:
                await standing.prove(self._engine)
                self._proven.add(standing.organization)

    async def prove_schema(self) -> None:
        """Return if the engine enforces this catalog's schema; raises SchemaMismatch.

        For a change that makes an organization, which has nothing yet to be proven by.
        """
        await position_before_creation(self.catalog.schema_proof).prove_schema(self._engine)

    def end_sessions(self, user: User) -> None:
        """End the user's sessions with the commit.

        SECURITY: other organizations' changes may need the user's row as well, so it is locked in the
        very last moment and not while this change is still being judged.
        """
        self._signed_out.append(user)

    async def end_due_sessions(self) -> None:
        """Write what `end_sessions` was told, just before the commit; raises OrganizationBusy."""
        if not self._signed_out:
            return
        for user in self._signed_out:
            user.end_sessions(self.now)
        with refusing_busy(*(at.organization for at in self.standing)):
            await self.session.flush()

    async def decide(self) -> dict[OrganizationId, int]:
        """Bring what was changed so far into the ledger; return the last position by organization.

        The commit does that by itself; this is for who must know the positions before it.
        """
        await self.session.run_sync(drain)
        return {entry.organization: entry.position for entry in self.entries}

    async def mend(self, organization: OrganizationId, updates: list[Update]) -> None:
        """Decide to bring SpiceDB back to what the ledger says already: RESTORE and PURGE, no others.

        What is decided of rows comes from the rows themselves.
        """
        await self.session.run_sync(append, organization, updates)

    @property
    def in_person(self) -> bool:
        """Whether the actor makes the change themselves, and no service account on their behalf."""
        return self.attribution.on_behalf is None

    def is_either_self(self, user: UserId) -> bool:
        """Return whether the user makes the change, as the member or as the service account."""
        return self.attribution.involves(user)

    @property
    def entries(self) -> list[Entry]:
        """What has been decided."""
        return recording_of(self.session).entries

    @property
    def stopped(self) -> dict[OrganizationId, str]:
        """The organizations whose ledger an earlier entry stops, and why."""
        return {at.organization: at.stopped for at in self.standing if at.stopped is not None}

    def attribute(self, attribution: Attribution) -> None:
        """Set who makes the change, if that was not known when it was opened."""
        self.attribution = attribution
        recording_of(self.session).attribution = attribution

    def because(self, reason: str | None) -> bytes | None:
        """Keep the reason, and return the hash by which the ledger and the events name it."""
        if not reason:
            return None
        kept = Reason.of(reason)
        self.session.add(kept)
        recording_of(self.session).reason_hash = kept.hash
        return kept.hash


@dataclass
class OrganizationChange(Change):
    """A change of one organization by one actor, which a use case needs no other names for.

    The actor is a user: of a service account that acts on behalf of a member, the member. Every
    permission is then asked for both (`permitted`). An operator or the system has no row in `users`;
    for them `actor` is their name in the ledger, and SpiceDB knows nothing by that name.
    """

    organization: OrganizationId = field(kw_only=True)
    actor: UserId = field(kw_only=True)

    async def held(
        self, permissions: Iterable[str], on: ObjectReference | None = None
    ) -> frozenset[str]:
        """Return which permissions the actor has here, or on one of the organization's objects."""
        return await self.permitted(self.organization, self.actor, permissions, on)

    def is_self(self, user: UserId) -> bool:
        """Return whether the user makes this change themselves, in person.

        SECURITY: what people may do to themselves takes no rank, and no service account does it on their
        behalf. This is the only place that decides it (a test looks for others).
        """
        return self.actor == user and self.in_person

    def is_of(self, user: UserId) -> bool:
        """Return whether the change is the user's, in person or on their behalf."""
        return self.actor == user

    @contextmanager
    def judging(self, member: UserId, account: UserId | None) -> Iterator[None]:
        """Judge the block as the member's change, or as one that the account makes on their behalf.

        What the block records is still attributed to the one who makes the change.
        """
        actor, attribution = self.actor, self.attribution
        both = OnBehalf(member, account) if account is not None else None
        self.actor, self.attribution = member, replace(attribution, on_behalf=both)
        try:
            yield
        finally:
            self.actor, self.attribution = actor, attribution
