"""Sandboxes for past and planned states. A process keeps a few of them for a while."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from weakref import WeakValueDictionary

from teamaccess.audit.state.facts import Fact, Facts
from teamaccess.audit.state.snapshot import Answer, EngineQuestion
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

MOST_KEPT = 8
"""Sandboxes that a process keeps for further questions about the same state."""
LIFETIME = timedelta(hours=1)
"""How long a process keeps a sandbox."""
MOST_RELATIONSHIPS = 50_000
"""The largest organization that fits a sandbox, in relationships. A sandbox reads all of them for every
step of an answer (docs/explanation/benchmarks.md)."""
LATEST_EXPIRY = datetime.max.replace(tzinfo=UTC) - timedelta(days=2)


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
        "{organization} had {relationships:relationship} then; a sandbox can hold {most}. Ask "
        "about the present."
    )


class OtherSchema(Conflict):
    """The ledger's relationships do not fit the recorded schema: SpiceDB got a schema in another way."""

    message = (
        "The relationships of {organization} do not fit the schema recorded for that time: "
        "{cause}. An operator must find out who changed SpiceDB's schema without `teamaccess "
        "schema apply`."
    )


class SandboxState(NamedTuple):
    """The contents of a sandbox: a schema, and relationships that had not expired."""

    organization: OrganizationId
    key: bytes
    """Equal states have equal keys."""
    schema: str
    facts: list[Fact]
    at: datetime
    """The time of the state."""

    @classmethod
    def of(
        cls, organization: OrganizationId, schema: str, facts: Facts, at: datetime
    ) -> "SandboxState":
        """Return the state at a time, without the relationships that had expired."""
        unexpired = [
            fact
            for fact in facts.current.values()
            if not fact.expiration or (fact.expires_at or at) > at
        ]
        digest = sha256(schema.encode())
        for text in sorted(fact.text for fact in unexpired):
            digest.update(f"\n{text}".encode())
        return cls(organization, digest.digest(), schema, unexpired, at)

    def relationships(self, now: datetime) -> list[Relationship]:
        """Return the relationships with later expiries, so that none expires while the sandbox is kept.

        An expiry is moved and not removed, because the schema may require one.
        """
        later = now - self.at + LIFETIME * 2
        return [_moved(Relationship.parse(fact.text), later) for fact in self.facts]


def _moved(relationship: Relationship, later: timedelta) -> Relationship:
    end = relationship.expiration
    if end is None:
        return relationship
    moved = end + later if end < LATEST_EXPIRY - later else LATEST_EXPIRY
    return Relationship(relationship.resource, relationship.relation, relationship.subject, moved)


@dataclass
class _Sandbox:
    key: bytes
    engine: Engine
    opened_at: float
    questions: int = 0
    """Questions that are running in it."""

    @property
    def old(self) -> bool:
        """Whether one of its relationships may expire soon."""
        return time.monotonic() - self.opened_at > LIFETIME.total_seconds()


@dataclass
class SandboxPool:
    """The sandboxes of one process."""

    endpoint: str | None
    """host:port of the sandbox server; None without one."""
    _kept: dict[bytes, _Sandbox] = field(default_factory=dict)
    """By key. The most recently used one is the last."""
    _opening: WeakValueDictionary[OrganizationId, asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )
    """A lock for each organization that opens a sandbox. Others need not wait while it is filled."""

    async def ask(self, state: SandboxState, question: EngineQuestion[Answer]) -> Answer:
        """Return the answer of a sandbox with this state.

        If the server restarted and lost the sandbox, it is filled once more. Raises NoSandbox,
        TooLargeForSandbox, OtherSchema and SandboxUnavailable.
        """
        try:
            return await self._ask_once(state, question)
        except EngineUnavailable:
            try:
                return await self._ask_once(state, question)
            except EngineUnavailable as cause:
                raise _unavailable(cause) from cause

    async def close(self) -> None:
        """Close the connections."""
        while self._kept:
            await self._kept.popitem()[1].engine.close()

    async def _ask_once(self, state: SandboxState, question: EngineQuestion[Answer]) -> Answer:
        sandbox = await self._acquire(state)
        try:
            return await question(sandbox.engine, FULLY_CONSISTENT)
        except EngineUnavailable:
            if self._kept.get(state.key) is sandbox:
                del self._kept[state.key]
            raise
        finally:
            await self._release(sandbox)

    async def _acquire(self, state: SandboxState) -> _Sandbox:
        """Return the state's sandbox, which stays open until it is released."""
        async with self._opening.setdefault(state.organization, asyncio.Lock()):
            sandbox = self._kept.pop(state.key, None)
            if sandbox is not None and sandbox.old:
                await self._close_unused(sandbox)
                sandbox = None
            sandbox = sandbox or await self._open(state)
            sandbox.questions += 1
            self._kept[state.key] = sandbox
            return sandbox

    async def _open(self, state: SandboxState) -> _Sandbox:
        if self.endpoint is None:
            raise NoSandbox
        if len(state.facts) > MOST_RELATIONSHIPS:
            raise TooLargeForSandbox(
                organization=state.organization,
                relationships=len(state.facts),
                most=MOST_RELATIONSHIPS,
            )
        relationships = await asyncio.to_thread(state.relationships, datetime.now(UTC))
        try:
            engine = await open_sandbox(self.endpoint, state.schema, relationships)
        except EngineUnavailable as cause:
            raise _unavailable(cause) from cause
        except EngineRefused as refused:
            raise OtherSchema(organization=state.organization, cause=refused) from refused
        return _Sandbox(state.key, engine, time.monotonic())

    async def _release(self, sandbox: _Sandbox) -> None:
        """Close the sandbox if the pool no longer keeps it, and the least recently used surplus ones."""
        sandbox.questions -= 1
        if self._kept.get(sandbox.key) is not sandbox:
            await self._close_unused(sandbox)
        unused = [kept for kept in self._kept.values() if not kept.questions]
        surplus = unused[: max(0, len(self._kept) - MOST_KEPT)]
        for kept in surplus:
            del self._kept[kept.key]
        for kept in surplus:
            await kept.engine.close()

    async def _close_unused(self, sandbox: _Sandbox) -> None:
        """Close the connection unless questions use it. The last of them closes it then."""
        if not sandbox.questions:
            await sandbox.engine.close()


def _unavailable(cause: EngineUnavailable) -> SandboxUnavailable:
    return SandboxUnavailable(cause=cause.facts["cause"])
