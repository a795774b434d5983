"""Permissions for questions that change nothing, and who may wait for an organization's lock."""

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
"""Questions that SpiceDB is asked in one call."""
BULKS = 8
"""Such calls that one process has under way."""
SHARE = 2
"""Such calls that one organization has under way."""
ADMITTED_SECONDS = 10.0
"""How long a member may wait for the lock again before SpiceDB is asked again. It allows nothing else:
under the lock SpiceDB is asked for every permission."""
MOST_ADMITTED = 100_000
PATIENCE_SECONDS = 2.0
"""How long a member whose membership has not reached SpiceDB yet waits for it."""

NoteActivity = Callable[[OrganizationId, UserId], Awaitable[None]]


class ReadAuthorizer:
    """Permissions for questions that change nothing, as fresh as the last applied change.

    Each question of a member is reported to `note_activity`.
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
        """Return if the user may do it; raises UnknownOrganization or MissingPermission."""
        guard = self._catalog.guards[operation]
        held = await self._permitted(organization, user, {MEMBERSHIP, guard})
        require_held(held, organization, guard)

    async def require_membership(self, organization: OrganizationId, user: UserId) -> None:
        """Return if the user is an active member; raises UnknownOrganization."""
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

    async def judge(
        self, organization: OrganizationId, questions: Sequence[Question]
    ) -> tuple[list[bool], str | None]:
        """Return yes or no to each question, and a ZedToken that the answers are as fresh as.

        The ZedToken is None in an organization in which nothing was decided yet. Whether the caller may
        ask is not judged here. A service account that asks about the member it acts for gets a yes
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
        """Return which of the permissions asked about each user has. The caller does not matter.

        It shows what other members could do, and allows the caller nothing.
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
            # SECURITY: a hundred questions at once would occupy SpiceDB; other tenants' go between
            async with self._slots.slot(position.organization):
                batch = questions[start : start + AT_ONCE]
                answers += await position.answers(self._engine, batch, or_later=True)
        return answers

    def _about_account(self, questions: Sequence[Question]) -> dict[int, Question]:
        """Return the questions about the member who is acted for, asked about the service account.

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
        """Return every organization that the user is an active member of."""
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
            # SECURITY: a caller without a row there gets the answer for an organization that does not
            # exist, after as many questions. A SpiceDB that was replaced may refuse the organization's
            # ZedToken, which an organization that does not exist does not have. Nobody is allowed
            # anything: a caller with a row is refused, too, and learns the cause.
            if await self.has_row(organization, user):
                raise
            held = await self._held(_nowhere(organization), user, permissions, both)
        if MEMBERSHIP in held:
            await self._note_activity(organization, user)
        return held

    async def has_row(self, organization: OrganizationId, user: UserId) -> bool:
        """Return whether the user has a membership there, whatever SpiceDB knows of it."""
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
            guard = self._catalog.guards["act_on_behalf"]
            return await position.permitted_to_both(
                self._engine, both, permissions, guard, or_later=True
            )
        return await position.permitted(self._engine, user, permissions, or_later=True)

    async def _position(self, organization: OrganizationId) -> LedgerPosition:
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        async with self._sessions() as session:
            position = await position_of(session, organization)
        # SECURITY: SpiceDB is asked about an organization that does not exist, too. Time and outages must
        # not reveal to a stranger which organizations exist.
        return position or _nowhere(organization)


def _nowhere(organization: OrganizationId) -> NoLedgerPosition:
    return NoLedgerPosition(organization, 1, bytes(32), None)


class Admission:
    """Lets members, and nobody else, wait for their organization's lock.

    A change waits in its process's queue and for a lock in PostgreSQL before it is judged. Without this
    check anybody could keep a tenant's changes waiting: with requests that are refused only under the
    lock.
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
        """Return if the user is a member; raises UnknownOrganization.

        A membership that was decided and has not reached SpiceDB yet counts: it is delivered first.
        """
        if (organization, user) in self._admitted:
            return
        try:
            await reading.require_membership(organization, user)
        except UnknownOrganization:
            # SECURITY: only for somebody with a row there is anything delivered. A stranger must cause no
            # work that depends on the organization: its time would reveal which tenants are stopped.
            if not await reading.has_row(organization, user):
                raise
            if not await self._delivered(organization):
                raise
            await reading.require_membership(organization, user)
        self._admitted[organization, user] = True

    async def _delivered(self, organization: OrganizationId) -> bool:
        """Deliver what is pending; return whether there was anything."""
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
