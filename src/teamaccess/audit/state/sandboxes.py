"""Engines for states that are not the present one: kept for a while, a few at a time."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from teamaccess.audit.state.facts import Fact, Facts
from teamaccess.audit.state.view import Answer, Ask
from teamaccess.common.errors import Conflict, Unavailable
from teamaccess.engine import (
    FULLY_CONSISTENT,
    Engine,
    EngineRefused,
    EngineUnavailable,
    open_sandbox,
)
from teamaccess.relationships import Relationship
from teamaccess.storage import OrganizationId

KEPT = 8
"""Sandboxes that a process keeps for who asks the same state again."""
LIFE = timedelta(hours=1)
"""How long it keeps one."""
MOST = 50_000
"""Relationships of the largest organization that a sandbox takes: it looks through all of them for every
step of an answer (docs/explanation/benchmarks.md)."""
LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)


class NoSandbox(Unavailable):
    """The question needs a sandbox, and no server for sandboxes is configured."""

    message = (
        "This needs a sandbox, and none is configured. Run `spicedb serve-testing` on this "
        "machine's loopback interface, and set TEAMACCESS_SANDBOX_ENDPOINT to its address."
    )


class SandboxUnavailable(Unavailable):
    """The server for sandboxes does not answer."""

    message = "The server for sandboxes does not answer ({cause}). Try again shortly."


class TooLargeForSandbox(Conflict):
    """The organization has more relationships than a sandbox may hold in memory."""

    message = (
        "{organization} had {relationships} relationships then; a sandbox can hold {most}. Ask "
        "about the present."
    )


class OtherSchema(Conflict):
    """The ledger's relationships do not fit the recorded schema: SpiceDB got a schema in another way."""

    message = (
        "The relationships of {organization} do not fit the schema recorded for that time: "
        "{cause}. An operator must find out who changed SpiceDB's schema without `teamaccess "
        "schema apply`."
    )


class State(NamedTuple):
    """What an engine is to have: a schema, and relationships whose ends are all still ahead."""

    organization: OrganizationId
    key: bytes
    """The same for the same state."""
    schema: str
    facts: list[Fact]
    at: datetime
    """The time that it is the state of."""

    @classmethod
    def of(cls, organization: OrganizationId, schema: str, facts: Facts, at: datetime) -> "State":
        """Return what stood at a time; what had come to its end is left out."""
        standing = [
            fact
            for fact in facts.standing.values()
            if not fact.expiration or (fact.until or at) > at
        ]
        digest = sha256(schema.encode())
        for text in sorted(fact.text for fact in standing):
            digest.update(f"\n{text}".encode())
        return cls(organization, digest.digest(), schema, standing, at)

    def relationships(self, now: datetime) -> list[Relationship]:
        """Return them with their ends moved on, so that none comes while the sandbox is kept.

        An end that was still ahead stays ahead: a relationship without one may not be allowed where one
        with an end is.
        """
        later = now - self.at + LIFE * 2
        return [_moved(Relationship.parse(fact.text), later) for fact in self.facts]


def _moved(relationship: Relationship, later: timedelta) -> Relationship:
    end = relationship.expiration
    if end is None:
        return relationship
    moved = end + later if end < LAST - later else LAST
    return Relationship(relationship.resource, relationship.relation, relationship.subject, moved)


@dataclass
class _Kept:
    key: bytes
    engine: Engine
    since: float
    users: int = 0

    @property
    def old(self) -> bool:
        """Whether an end may come soon."""
        return time.monotonic() - self.since > LIFE.total_seconds()


@dataclass
class Sandboxes:
    """The sandboxes of one process; `endpoint` is where the server for them listens."""

    endpoint: str | None
    _kept: dict[bytes, _Kept] = field(default_factory=dict)
    """The one that was used last is the last."""
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, state: State, question: Ask[Answer]) -> Answer:
        """Return what an engine in this state answers.

        The server may have begun anew and forgotten it: then it is told once more. Raises NoSandbox,
        TooLargeForSandbox, OtherSchema and SandboxUnavailable.
        """
        try:
            return await self._asked(state, question)
        except EngineUnavailable:
            try:
                return await self._asked(state, question)
            except EngineUnavailable as silent:
                raise _unavailable(silent) from silent

    async def close(self) -> None:
        """Close the connections."""
        while self._kept:
            await self._kept.popitem()[1].engine.close()

    async def _asked(self, state: State, question: Ask[Answer]) -> Answer:
        kept = await self._opened(state)
        try:
            return await question(kept.engine, FULLY_CONSISTENT)
        except EngineUnavailable:
            if self._kept.get(state.key) is kept:
                del self._kept[state.key]
            raise
        finally:
            await self._leave(kept)

    async def _opened(self, state: State) -> _Kept:
        """Return the state's sandbox, which stays open until it is left."""
        async with self._opening:
            kept = self._kept.pop(state.key, None)
            if kept is not None and kept.old:
                await self._close_unused(kept)
                kept = None
            kept = kept or await self._open(state)
            kept.users += 1
            self._kept[state.key] = kept
            return kept

    async def _open(self, state: State) -> _Kept:
        if self.endpoint is None:
            raise NoSandbox
        if len(state.facts) > MOST:
            raise TooLargeForSandbox(
                organization=state.organization, relationships=len(state.facts), most=MOST
            )
        relationships = await asyncio.to_thread(state.relationships, datetime.now(UTC))
        try:
            engine = await open_sandbox(self.endpoint, state.schema, relationships)
        except EngineUnavailable as silent:
            raise _unavailable(silent) from silent
        except EngineRefused as refused:
            raise OtherSchema(organization=state.organization, cause=refused) from refused
        return _Kept(state.key, engine, time.monotonic())

    async def _leave(self, kept: _Kept) -> None:
        """Close it if nobody can find it any more, and those that nobody has used for the longest."""
        kept.users -= 1
        if self._kept.get(kept.key) is not kept:
            await self._close_unused(kept)
        unused = [each for each in self._kept.values() if not each.users]
        for each in unused[: max(0, len(self._kept) - KEPT)]:
            del self._kept[each.key]
            await each.engine.close()

    async def _close_unused(self, kept: _Kept) -> None:
        """Closing a connection would end the questions of those who use it; the last of them does it."""
        if not kept.users:
            await kept.engine.close()


def _unavailable(silent: EngineUnavailable) -> SandboxUnavailable:
    return SandboxUnavailable(cause=silent.facts["cause"])
