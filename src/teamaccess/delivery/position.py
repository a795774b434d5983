"""An organization's ledger position, and questions to a SpiceDB at the same position."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import newest_confirmed
from teamaccess.delivery.writer import APPLIED, HEAD
from teamaccess.engine import (
    MINIMIZE_LATENCY,
    Engine,
    EngineRefused,
    EngineUnavailable,
    Question,
    at_least_as_fresh,
)
from teamaccess.ledger.entry import Entry, OnBehalf
from teamaccess.ledger.errors import OtherHistory
from teamaccess.ledger.zed_tokens import zed_token_or_none
from teamaccess.relationships import ObjectReference, ledger_position, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

log = structlog.get_logger()

QUESTIONS_PER_CALL = 250
"""Questions in one bulk check."""


@dataclass(frozen=True)
class LedgerPosition:
    """The newest position of an organization that SpiceDB has confirmed, with its ZedToken."""

    organization: OrganizationId
    position: int
    hash: bytes
    zed_token: str | None
    stopped: str | None = None
    """Why SpiceDB refuses the next position for good, if it does."""
    proof: str = HEAD
    """The relation or permission that proves this position. A change uses the schema proof of its catalog
    (`Catalog.schema_proof`), which proves the schema together with the history."""

    async def permitted(
        self,
        engine: Engine,
        user_id: UserId,
        permissions: Iterable[str],
        *,
        on: ObjectReference | None = None,
        or_later: bool = False,
    ) -> frozenset[str]:
        """Return which permissions the user has in the organization, or `on` one of its objects."""
        resource = on or organization_object(self.organization)
        asked = {resource: frozenset(permissions)}
        return (await self.permitted_on_each(engine, [user_id], asked, or_later=or_later))[resource]

    async def permitted_on_each(
        self,
        engine: Engine,
        users: Sequence[UserId],
        asked: Mapping[ObjectReference, frozenset[str]],
        *,
        or_later: bool = False,
    ) -> dict[ObjectReference, frozenset[str]]:
        """Return which of the permissions all the users have, on each object.

        One call asks all the questions, unless there are more than QUESTIONS_PER_CALL.
        """
        questions = [
            Question(on, name, user(each))
            for on, names in asked.items()
            for name in sorted(names)
            for each in users
        ]
        answers: dict[Question, bool] = {}
        for start in range(0, max(len(questions), 1), QUESTIONS_PER_CALL):
            part = questions[start : start + QUESTIONS_PER_CALL]
            found = await self.answers(engine, part, or_later=or_later)
            answers |= zip(part, found, strict=True)
        return {
            on: frozenset(
                name
                for name in names
                if all(answers[Question(on, name, user(each))] for each in users)
            )
            for on, names in asked.items()
        }

    async def answers(
        self, engine: Engine, questions: Sequence[Question], *, or_later: bool = False
    ) -> list[bool]:
        """Return SpiceDB's answer to each question about this organization, at this position.

        `or_later` is for callers without a lock, because the ledger may have grown meanwhile. Raises
        OtherHistory if SpiceDB is not at this position, because its answers are then about another state.
        Raises SchemaMismatch if SpiceDB enforces another schema than that of `proof`.
        """
        if self.position == 0 and not self.stopped:
            # the organization has given no access yet, so a yes would come from another history
            await self.prove_schema(engine)
            return [False] * len(questions)
        proofs = self._proofs(or_later=or_later)
        asked = [*questions, *proofs]
        answers = await self._answers_as_fresh(engine, asked)
        if not self.stopped and proofs and not any(answers[len(questions) :]):
            # the ZedToken may be that of an older position
            answers = await engine.answers(asked) if self.zed_token is not None else answers
            if not any(answers[len(questions) :]):
                raise OtherHistory(organization=self.organization)
        return answers[: len(questions)]

    async def _answers_as_fresh(self, engine: Engine, asked: Sequence[Question]) -> list[bool]:
        """Return SpiceDB's answers, with full consistency if SpiceDB refuses the position's ZedToken."""
        try:
            return await engine.answers(asked, at_least_as_fresh(self.zed_token))
        except EngineUnavailable as failure:
            if self.zed_token is None or not isinstance(failure.__cause__, EngineRefused):
                raise
            log.warning("zed_token_refused", organization=self.organization, cause=str(failure))
            return await engine.answers(asked)

    async def permitted_to_both(
        self,
        engine: Engine,
        pair: OnBehalf,
        asked: Mapping[ObjectReference, frozenset[str]],
        guard: str,
        *,
        or_later: bool = False,
    ) -> dict[ObjectReference, frozenset[str]]:
        """Return which of the permissions both the member and the service account have, on each object.

        There are none if the service account lacks `guard`, the action required to act for a member.
        """
        if not await self.permitted(engine, pair.account, {guard}, or_later=or_later):
            return dict.fromkeys(asked, frozenset())
        both = [pair.account, pair.member]
        return await self.permitted_on_each(engine, both, asked, or_later=or_later)

    async def prove(self, engine: Engine, *, or_later: bool = False) -> None:
        """Raise OtherHistory or SchemaMismatch unless SpiceDB is at this position."""
        await self.answers(engine, [], or_later=or_later)

    async def prove_schema(self, engine: Engine) -> None:
        """Raise SchemaMismatch unless SpiceDB enforces the schema of `proof`."""
        if self.proof != HEAD:
            await engine.answers([self._proof(self.proof)])

    async def is_newest(self, engine: Engine) -> bool:
        """Return whether this position is SpiceDB's head at this moment."""
        proofs = self._proofs(or_later=False)
        return self.stopped is not None or not proofs or any(await engine.answers(proofs))

    def _proofs(self, *, or_later: bool) -> list[Question]:
        """Return questions of which SpiceDB answers at least one with yes if it has the same history.

        If the ledger has stopped, SpiceDB is at another position, and only the schema can be proven.
        """
        if self.position == 0 or (self.stopped and self.proof == HEAD):
            return []
        names = (self.proof, APPLIED) if or_later else (self.proof,)
        return [self._proof(name) for name in names]

    def _proof(self, name: str) -> Question:
        resource = organization_object(self.organization)
        return Question(resource, name, ledger_position(self.position, self.hash.hex()))


@dataclass(frozen=True)
class NoLedgerPosition(LedgerPosition):
    """The position of an organization that does not exist: SpiceDB is asked, and every answer is no."""

    async def answers(
        self, engine: Engine, questions: Sequence[Question], *, or_later: bool = False
    ) -> list[bool]:
        """Return no to each question.

        SECURITY: it takes as long as for an existing organization, so that tenants cannot see each other.
        """
        await engine.answers([*questions, *self._proofs(or_later=or_later)], MINIMIZE_LATENCY)
        return [False] * len(questions)


def position_before_creation(proof: str) -> LedgerPosition:
    """Return the position of an organization before its creation. It proves only the schema."""
    return LedgerPosition(OrganizationId("-"), 0, b"", None, proof=proof)


async def position_of(session: AsyncSession, organization: OrganizationId) -> LedgerPosition | None:
    """Return the organization's newest position that SpiceDB has confirmed, None before the first."""
    row = (await session.execute(newest_confirmed(organization))).one_or_none()
    if row is None:
        return None
    position, hash, token = row
    return LedgerPosition(organization, position, hash, zed_token_or_none(token))


async def require_predecessor(engine: Engine, entries: Sequence[Entry]) -> None:
    """Raise OtherHistory unless SpiceDB is at the position before the entries, or has the first entry.

    It must be called before a write, because the entries would become the head of any history that
    SpiceDB has.
    """
    entry = entries[0]
    organization = organization_object(entry.organization)
    if entry.position == 1:
        await _require_no_other_ledger(engine, entries)
        return
    before = ledger_position(entry.position - 1, entry.previous_hash.hex())
    this_position = ledger_position(entry.position, entry.hash.hex())
    if not any(
        await engine.answers(
            [Question(organization, HEAD, before), Question(organization, APPLIED, this_position)]
        )
    ):
        raise OtherHistory(organization=entry.organization)


async def _require_no_other_ledger(engine: Engine, entries: Sequence[Entry]) -> None:
    """Raise OtherHistory if SpiceDB has another ledger of that organization.

    SpiceDB may still have an organization that a restored database has lost, with all of its members.
    """
    organization = organization_object(entries[0].organization)
    if not await engine.has_any(organization, HEAD):
        return
    positions = [ledger_position(entry.position, entry.hash.hex()) for entry in entries]
    first = Question(organization, APPLIED, positions[0])
    heads = [Question(organization, HEAD, position) for position in positions]
    if not any(await engine.answers([first, *heads])):
        raise OtherHistory(organization=entries[0].organization)
