"""Where an organization's ledger stands, and questions to a SpiceDB that stands at the same place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.applications import newest
from teamaccess.engine import MINIMIZE_LATENCY, Engine, Question, at_least
from teamaccess.ledger.entry import APPLIED, HEAD, Entry, OnBehalf
from teamaccess.ledger.errors import OtherHistory
from teamaccess.relationships import ObjectReference, ledger_position, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId


@dataclass(frozen=True)
class LedgerPosition:
    """The newest position of an organization that SpiceDB has confirmed, and when it held there."""

    organization: OrganizationId
    position: int
    hash: bytes
    zed_token: str | None
    stopped: str | None = None
    """Why the position after it is refused for good, if it is."""
    proof: str = HEAD
    """What SpiceDB is asked for at the newest position. A change asks for a permission that only its own
    catalog's schema has (`Catalog.schema_proof`), which proves the schema together with the history."""

    async def permitted(
        self,
        engine: Engine,
        who: UserId,
        permissions: Iterable[str],
        *,
        on: ObjectReference | None = None,
        or_later: bool = False,
    ) -> frozenset[str]:
        """Return which permissions somebody has here, or on one of its objects."""
        resource, asked = on or organization_object(self.organization), sorted(set(permissions))
        questions = [Question(resource, permission, user(who)) for permission in asked]
        answers = await self.answers(engine, questions, or_later=or_later)
        return frozenset(each for each, answer in zip(asked, answers, strict=True) if answer)

    async def answers(
        self, engine: Engine, questions: Sequence[Question], *, or_later: bool = False
    ) -> list[bool]:
        """Return yes or no to questions about this organization, as SpiceDB says it at this position.

        `or_later` is for who holds no lock, so that the ledger may have gone on. Raises OtherHistory for
        a SpiceDB that stands elsewhere: nothing it says is about this organization as it is. Raises
        SchemaMismatch for one that enforces another schema than the one that `proof` belongs to.
        """
        if self.position == 0 and not self.stopped:
            # nothing was given here yet: whatever SpiceDB says is of another history
            await self.prove_schema(engine)
            return [False] * len(questions)
        places = self._places(or_later=or_later)
        answers = await engine.answers([*questions, *places], at_least(self.zed_token))
        if not self.stopped and places and not any(answers[len(questions) :]):
            raise OtherHistory(organization=self.organization)
        return answers[: len(questions)]

    async def permitted_to_both(
        self,
        engine: Engine,
        both: OnBehalf,
        permissions: Iterable[str],
        guard: str,
        *,
        on: ObjectReference | None = None,
        or_later: bool = False,
    ) -> frozenset[str]:
        """Return which permissions a member and the service account that acts for them both have.

        None without the guard, which the service account needs to act for anybody.
        """
        if not await self.permitted(engine, both.account, {guard}, or_later=or_later):
            return frozenset()
        asked = set(permissions)
        account = await self.permitted(engine, both.account, asked, on=on, or_later=or_later)
        return account & await self.permitted(engine, both.member, asked, on=on, or_later=or_later)

    async def prove(self, engine: Engine, *, or_later: bool = False) -> None:
        """Return if SpiceDB stands at this position; raises OtherHistory and SchemaMismatch."""
        await self.answers(engine, [], or_later=or_later)

    async def prove_schema(self, engine: Engine) -> None:
        """Return if SpiceDB enforces the schema that `proof` belongs to; raises SchemaMismatch."""
        if self.proof != HEAD:
            await engine.answers([self._place(self.proof)])

    async def is_newest(self, engine: Engine) -> bool:
        """Return whether SpiceDB stands at this position at this moment, and at none after it."""
        places = self._places(or_later=False)
        return self.stopped is not None or not places or any(await engine.answers(places))

    def _places(self, *, or_later: bool) -> list[Question]:
        """Return questions of which SpiceDB answers one with yes if it has the same history.

        Where the ledger has stopped, SpiceDB stands elsewhere, and only the schema can be proven.
        """
        if self.position == 0 or (self.stopped and self.proof == HEAD):
            return []
        names = (self.proof, APPLIED) if or_later else (self.proof,)
        return [self._place(name) for name in names]

    def _place(self, name: str) -> Question:
        here = organization_object(self.organization)
        return Question(here, name, ledger_position(self.position, self.hash.hex()))


@dataclass(frozen=True)
class NoLedgerPosition(LedgerPosition):
    """Where an organization would stand if it existed: SpiceDB is asked, and every answer is no."""

    async def answers(
        self, engine: Engine, questions: Sequence[Question], *, or_later: bool = False
    ) -> list[bool]:
        """Return no to each question, at the cost of asking about an organization that exists."""
        await engine.answers([*questions, *self._places(or_later=or_later)], MINIMIZE_LATENCY)
        return [False] * len(questions)


def position_before_creation(proof: str) -> LedgerPosition:
    """Return where an organization stands that is still to be made: it proves the schema alone."""
    return LedgerPosition(OrganizationId("-"), 0, b"", None, proof=proof)


async def position_of(session: AsyncSession, organization: OrganizationId) -> LedgerPosition | None:
    """Return the organization's newest position that SpiceDB has confirmed, None before the first."""
    found = (await session.execute(newest(organization))).one_or_none()
    return LedgerPosition(organization, *found) if found else None


async def follows(engine: Engine, entries: Sequence[Entry]) -> None:
    """Return if SpiceDB stands just before the entries, or has the first; raises OtherHistory.

    Whoever writes them has to know: they would become the head of whatever history there is.
    """
    entry = entries[0]
    here = organization_object(entry.organization)
    if entry.position == 1:
        await _nothing_precedes(engine, entries)
        return
    before = ledger_position(entry.position - 1, entry.previous_hash.hex())
    itself = ledger_position(entry.position, entry.hash.hex())
    if not any(
        await engine.answers([Question(here, HEAD, before), Question(here, APPLIED, itself)])
    ):
        raise OtherHistory(organization=entry.organization)


async def _nothing_precedes(engine: Engine, entries: Sequence[Entry]) -> None:
    """Return if SpiceDB knows no ledger of that name but this one; raises OtherHistory.

    It may remember an organization that a restored database has lost, with all who were in it.
    """
    here = organization_object(entries[0].organization)
    if not await engine.any(here, HEAD):
        return
    positions = [ledger_position(each.position, each.hash.hex()) for each in entries]
    first = Question(here, APPLIED, positions[0])
    if not any(await engine.answers([first, *(Question(here, HEAD, each) for each in positions)])):
        raise OtherHistory(organization=entries[0].organization)
