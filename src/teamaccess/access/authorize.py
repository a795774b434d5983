"""Who may do what in an organization: always the engine's word, through the catalog's guards."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from teamaccess.catalog import Catalog
from teamaccess.changes import Change
from teamaccess.common.errors import Forbidden
from teamaccess.common.fairness import FairSlots
from teamaccess.delivery.position import LedgerPosition, NoLedgerPosition, position_of
from teamaccess.engine import Engine, EngineUnavailable, Question
from teamaccess.ledger import OnBehalf, OtherHistory, UnknownOrganization
from teamaccess.ledger.session import Sessions
from teamaccess.relationships import user as user_object
from teamaccess.storage import Membership, OrganizationId, UserId, is_organization_id

MEMBERSHIP = "membership"
"""The permission that every active member has; without it an organization does not exist for you."""

ADMINISTRATION = "administration"
"""The permission of the role that holds every action: who has it has all the others."""


class MissingPermission(Forbidden):
    """This takes the permission {permission} in {organization}, which you do not have."""


async def authorize(
    change: Change,
    user: UserId,
    organization: OrganizationId,
    operation: str,
    *,
    holding: Iterable[str] = (),
) -> frozenset[str]:
    """Return which of the actions `holding` the user holds, provided they may do the operation.

    The engine judges a graph with nothing pending. Raises UnknownOrganization for who is no active
    member, and MissingPermission naming the action that guards the operation.
    """
    catalog = change.catalog
    guard = catalog.guards[operation]
    held = await change.permitted(organization, user, {MEMBERSHIP, ADMINISTRATION, guard})
    require_held(held, organization, guard)
    if ADMINISTRATION in held:
        return frozenset(holding)
    wanted = {action: catalog.actions[action].permission for action in holding}
    held = await change.permitted(organization, user, wanted.values())
    return frozenset(action for action, permission in wanted.items() if permission in held)


def require_held(held: frozenset[str], organization: OrganizationId, guard: str) -> None:
    """Raise UnknownOrganization without membership, MissingPermission without the guard."""
    if MEMBERSHIP not in held:
        raise UnknownOrganization(organization=organization)
    if guard not in held:
        raise MissingPermission(permission=guard, organization=organization)


AT_ONCE = 10
"""Questions that SpiceDB is asked in one call."""
BULKS = 8
"""Such calls of a process under way."""
SHARE = 2
"""Of these one organization's."""

Seen = Callable[[OrganizationId, UserId], Awaitable[None]]


class ReadAuthorizer:
    """Permissions for questions that change nothing, as fresh as the last applied change.

    Every member who asks is told to `seen`.
    """

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        catalog: Catalog,
        seen: Seen,
        on_behalf: OnBehalf | None = None,
        turns: FairSlots | None = None,
    ) -> None:
        self._turns = turns or FairSlots(BULKS, SHARE)
        self._sessions = sessions
        self._engine = engine
        self._catalog = catalog
        self._seen = seen
        self._on_behalf = on_behalf

    def on_behalf(self, both: OnBehalf) -> "ReadAuthorizer":
        """Return the same for a service account's request: the member may what both of them may."""
        return ReadAuthorizer(
            self._sessions, self._engine, self._catalog, self._seen, both, self._turns
        )

    async def require(self, organization: OrganizationId, user: UserId, operation: str) -> None:
        """Return if the user may; raises UnknownOrganization or MissingPermission."""
        guard = self._catalog.guards[operation]
        held = await self._permitted(organization, user, {MEMBERSHIP, guard})
        require_held(held, organization, guard)

    async def require_membership(self, organization: OrganizationId, user: UserId) -> None:
        """Return if the user is an active member; raises UnknownOrganization."""
        held = await self._permitted(organization, user, {MEMBERSHIP})
        require_held(held, organization, MEMBERSHIP)

    async def actions(self, organization: OrganizationId, user: UserId) -> frozenset[str]:
        """Return every action that the user holds; raises UnknownOrganization."""
        actions = self._catalog.actions.values()
        held = await self._permitted(
            organization, user, {MEMBERSHIP, *(action.permission for action in actions)}
        )
        require_held(held, organization, MEMBERSHIP)
        return frozenset(action.id for action in actions if action.permission in held)

    async def judge(
        self, organization: OrganizationId, questions: Sequence[Question]
    ) -> tuple[list[bool], str | None]:
        """Return yes or no to each question, and a ZedToken that the answers are as fresh as.

        None stands for an organization in which nothing was ever decided. Who may ask is not judged
        here. Of a member for whom a service account asks, the answer is what both may. Raises
        UnknownOrganization.
        """
        standing, besides = await self._standing(organization), self._besides(questions)
        if isinstance(standing, NoLedgerPosition):
            raise UnknownOrganization(organization=organization)
        asked = [*questions, *besides.values()]
        answers: list[bool] = []
        for start in range(0, len(asked), AT_ONCE):
            # SECURITY: a hundred questions at once would occupy SpiceDB; other tenants' go between
            async with self._turns.slot(organization):
                some = asked[start : start + AT_ONCE]
                answers += await standing.answers(self._engine, some, or_later=True)
        for place, answer in zip(besides, answers[len(questions) :], strict=True):
            answers[place] = answers[place] and answer
        return answers[: len(questions)], standing.zed_token

    def _besides(self, questions: Sequence[Question]) -> dict[int, Question]:
        """Return, by the places of questions about the member who is acted for, the same of who acts."""
        if self._on_behalf is None:
            return {}
        member, account = user_object(self._on_behalf.member), user_object(self._on_behalf.account)
        return {
            place: each._replace(subject=account)
            for place, each in enumerate(questions)
            if each.subject == member
        }

    async def organizations(self, user: UserId) -> list[OrganizationId]:
        """Return every organization that the user is an active member of."""
        both = self._on_behalf
        if both is not None and both.member == user:
            theirs = await self._member_of(both.account)
            return [each for each in await self._member_of(user) if each in theirs]
        return await self._member_of(user)

    async def _member_of(self, user: UserId) -> list[OrganizationId]:
        found = self._engine.lookup_resources("organization", MEMBERSHIP, user_object(user))
        return [OrganizationId(id) async for id in found]

    async def _permitted(
        self, organization: OrganizationId, user: UserId, permissions: set[str]
    ) -> frozenset[str]:
        standing, both = await self._standing(organization), self._on_behalf
        try:
            held = await self._held(standing, user, permissions, both)
        except (OtherHistory, EngineUnavailable):
            # SECURITY: a caller without a row there gets the answer for an organization that does not
            # exist, after as many questions. A SpiceDB that was replaced may refuse the organization's
            # ZedToken, which an organization that does not exist has not. Nobody is allowed anything:
            # a caller with a row is refused, too, and learns the cause.
            if await self._has_row(organization, user):
                raise
            held = await self._held(_nowhere(organization), user, permissions, both)
        if MEMBERSHIP in held:
            await self._seen(organization, user)
        return held

    async def _has_row(self, organization: OrganizationId, user: UserId) -> bool:
        async with self._sessions() as session:
            return await session.get(Membership, (organization, user)) is not None

    async def _held(
        self,
        standing: LedgerPosition,
        user: UserId,
        permissions: set[str],
        both: OnBehalf | None,
    ) -> frozenset[str]:
        if both is not None and both.member == user:
            guard = self._catalog.guards["act_on_behalf"]
            return await standing.permitted_to_both(
                self._engine, both, permissions, guard, or_later=True
            )
        return await standing.permitted(self._engine, user, permissions, or_later=True)

    async def _standing(self, organization: OrganizationId) -> LedgerPosition:
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        async with self._sessions() as session:
            standing = await position_of(session, organization)
        # SECURITY: about an organization that does not exist the engine is asked all the same. Time and
        # outages must not tell a stranger which organizations there are.
        return standing or _nowhere(organization)


def _nowhere(organization: OrganizationId) -> NoLedgerPosition:
    return NoLedgerPosition(organization, 1, bytes(32), None)
