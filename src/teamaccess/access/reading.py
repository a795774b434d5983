"""Authorizes reads, and decides who may wait for an organization's lock."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from cachetools import TTLCache

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.catalog import Catalog
from teamaccess.common.sharing.fairness import FairSlots
from teamaccess.delivery import Applier
from teamaccess.delivery.position import LedgerPosition, NoLedgerPosition, position_of
from teamaccess.delivery.progress import newest_progress
from teamaccess.engine import Engine, EngineRefused, EngineUnavailable, Question
from teamaccess.ledger import OnBehalf, OtherHistory, Sessions, UnknownOrganization
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import Membership, OrganizationId, UserId, is_organization_id

AT_ONCE = 10
"""How many questions one call to SpiceDB contains."""
BULKS = 8
"""How many such calls one process makes at the same time."""
SHARE = 2
"""How many of them are for one organization."""
ADMITTED_SECONDS = 10.0
"""How long an admitted member may queue for the lock again without another check. Queueing is all that it
allows: under the lock, SpiceDB is asked for every permission."""
MOST_ADMITTED = 100_000
PATIENCE_SECONDS = 2.0
"""How long a new member waits for their membership to reach SpiceDB."""

NoteActivity = Callable[[OrganizationId, UserId], Awaitable[None]]


class ReadAuthorizer:
    """Authorizes reads with permissions as fresh as the last applied change.

    Each allowed read is reported to `note_activity`.
    """

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        catalog: Catalog,
        note_activity: NoteActivity,
        on_behalf: OnBehalf | None = None,
        slots: FairSlots | None = None,
    ) -> None:
        self._slots = slots or FairSlots(BULKS, SHARE)
        self._sessions = sessions
        self._engine = engine
        self._catalog = catalog
        self._note_activity = note_activity
        self._on_behalf = on_behalf

    def on_behalf(self, both: OnBehalf) -> "ReadAuthorizer":
        """Return an authorizer for a service account's request: it allows what both of them may do."""
        return ReadAuthorizer(
            self._sessions, self._engine, self._catalog, self._note_activity, both, self._slots
        )

    async def require(self, organization: OrganizationId, user: UserId, operation: str) -> None:
        """Raise UnknownOrganization or MissingPermission unless the user may do it."""
        guard = self._catalog.guards[operation]
        held = await self._permitted(organization, user, {MEMBERSHIP, guard})
        require_held(held, organization, guard)

    async def require_membership(self, organization: OrganizationId, user: UserId) -> None:
        """Raise UnknownOrganization unless the user is an active member."""
        held = await self._permitted(organization, user, {MEMBERSHIP})
        require_held(held, organization, MEMBERSHIP)

    async def held(self, organization: OrganizationId, user: UserId) -> frozenset[str]:
        """Return every action that the user holds, and their permissions to give roles.

        Raises UnknownOrganization.
        """
        permissions = self._catalog.permissions.values()
        held = await self._permitted(
            organization, user, {MEMBERSHIP, *(each.permission for each in permissions)}
        )
        require_held(held, organization, MEMBERSHIP)
        return frozenset(each.id for each in permissions if each.permission in held)

    async def answers(
        self, organization: OrganizationId, questions: Sequence[Question]
    ) -> tuple[list[bool], str | None]:
        """Return yes or no to each question, and the ZedToken that the answers are at least as fresh as.

        The ZedToken is None in an organization in which nothing was decided yet. It is not checked here
        whether the caller may ask. A service account that asks about the member it acts for gets a yes
        only if both have the permission. Raises UnknownOrganization.
        """
        position, about_account = await self._position(organization), self._about_account(questions)
        if isinstance(position, NoLedgerPosition):
            raise UnknownOrganization(organization=organization)
        answers = await self._answers(position, [*questions, *about_account.values()])
        for index, answer in zip(about_account, answers[len(questions) :], strict=True):
            answers[index] = answers[index] and answer
        return answers[: len(questions)], position.zed_token

    async def permissions_of(
        self, organization: OrganizationId, asked: Mapping[UserId, Collection[str]]
    ) -> dict[UserId, frozenset[str]]:
        """Return, for each user, which of the permissions in `asked` they have.

        The answer is for display. It does not depend on the caller, and authorizes nothing.
        """
        resource = organization_object(organization)
        pairs = [
            (user, each) for user, permissions in asked.items() for each in sorted(permissions)
        ]
        questions = [Question(resource, each, user_object(user)) for user, each in pairs]
        answers = await self._answers(await self._position(organization), questions)
        held: dict[UserId, set[str]] = defaultdict(set)
        for (user, permission), yes in zip(pairs, answers, strict=True):
            if yes:
                held[user].add(permission)
        return {user: frozenset(held[user]) for user in asked}

    async def _answers(self, position: LedgerPosition, questions: Sequence[Question]) -> list[bool]:
        answers: list[bool] = []
        for start in range(0, len(questions), AT_ONCE):
            # SECURITY: one caller's hundred questions must not occupy SpiceDB: others run in between
            async with self._slots.slot(position.organization):
                batch = questions[start : start + AT_ONCE]
                answers += await position.answers(self._engine, batch, or_later=True)
        return answers

    def _about_account(self, questions: Sequence[Question]) -> dict[int, Question]:
        """Return the questions about the represented member, asked about the service account.

        The keys are the questions' indexes.
        """
        if self._on_behalf is None:
            return {}
        member, account = user_object(self._on_behalf.member), user_object(self._on_behalf.account)
        return {
            index: question._replace(subject=account)
            for index, question in enumerate(questions)
            if question.subject == member
        }

    async def organizations(self, user: UserId) -> list[OrganizationId]:
        """Return every organization in which the user is an active member."""
        both = self._on_behalf
        if both is not None and both.member == user:
            of_account = await self._member_of(both.account)
            return [each for each in await self._member_of(user) if each in of_account]
        return await self._member_of(user)

    async def _member_of(self, user: UserId) -> list[OrganizationId]:
        ids = self._engine.lookup_resources("organization", MEMBERSHIP, user_object(user))
        return [OrganizationId(id) async for id in ids]

    async def _permitted(
        self, organization: OrganizationId, user: UserId, permissions: set[str]
    ) -> frozenset[str]:
        position, both = await self._position(organization), self._on_behalf
        try:
            held = await self._held(position, user, permissions, both)
        except (OtherHistory, EngineUnavailable):
            # SECURITY: these errors occur for existing organizations only. For example, a replaced
            # SpiceDB refuses the organization's ZedToken. A caller without a membership row must
            # not learn from one that the organization exists. They get the answer for an unknown
            # organization, after the same number of questions. A caller with a row learns the
            # cause. Nobody is allowed anything.
            if await self.has_row(organization, user):
                raise
            held = await self._held(_nowhere(organization), user, permissions, both)
        if MEMBERSHIP in held:
            await self._note_activity(organization, user)
        return held

    async def has_row(self, organization: OrganizationId, user: UserId) -> bool:
        """Return whether the user has a membership in PostgreSQL, even if SpiceDB lacks it so far."""
        async with self._sessions() as session:
            return await session.get(Membership, (organization, user)) is not None

    async def _held(
        self,
        position: LedgerPosition,
        user: UserId,
        permissions: set[str],
        both: OnBehalf | None,
    ) -> frozenset[str]:
        if both is not None and both.member == user:
            resource = organization_object(position.organization)
            asked, guard = {resource: frozenset(permissions)}, self._catalog.guards["act_on_behalf"]
            held = await position.permitted_to_both(self._engine, both, asked, guard, or_later=True)
            return held[resource]
        return await position.permitted(self._engine, user, permissions, or_later=True)

    async def _position(self, organization: OrganizationId) -> LedgerPosition:
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        async with self._sessions() as session:
            position = await position_of(session, organization)
        # SECURITY: SpiceDB is asked about unknown organizations too. Response times and outages must not
        # reveal to a stranger which organizations exist.
        return position or _nowhere(organization)


def _nowhere(organization: OrganizationId) -> NoLedgerPosition:
    return NoLedgerPosition(organization, 1, bytes(32), None)


class Admission:
    """Lets members, and nobody else, wait for their organization's lock.

    A change waits in its process's queue and for a lock in PostgreSQL before it is authorized.
    Without this check, anybody could delay a tenant's changes with requests that are refused only
    under the lock.
    """

    def __init__(self, applier: Applier, reads: Sessions) -> None:
        self._applier = applier
        self._reads = reads
        self._admitted: TTLCache[tuple[OrganizationId, UserId], bool] = TTLCache(
            MOST_ADMITTED, ADMITTED_SECONDS
        )

    async def admit(
        self, reading: ReadAuthorizer, organization: OrganizationId, user: UserId
    ) -> None:
        """Raise UnknownOrganization unless the user is a member.

        A committed membership that has not reached SpiceDB yet counts. It is delivered first.
        """
        if (organization, user) in self._admitted:
            return
        try:
            await reading.require_membership(organization, user)
        except UnknownOrganization:
            # SECURITY: pending entries are delivered only for a caller with a membership row. A
            # stranger must not cause work that depends on the organization: its duration would
            # reveal stopped tenants.
            if not await reading.has_row(organization, user):
                raise
            if not await self._delivered(organization):
                raise
            await reading.require_membership(organization, user)
        self._admitted[organization, user] = True

    async def _delivered(self, organization: OrganizationId) -> bool:
        """Deliver what is pending. Return whether something was delivered."""
        async with self._reads() as session:
            progress = await newest_progress(session, [organization])
        if all(each.delivered or each.refusal is not None for each in progress):
            return False  # nothing is pending, or SpiceDB has refused it for good
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._applier.catch_up(organization)
        except (EngineUnavailable, EngineRefused, OtherHistory, TimeoutError):
            # SECURITY: an outage must not reveal to a stranger that something is pending
            return False
        return True
