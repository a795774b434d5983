"""Requests that run interleaved by a schedule, one step at a time.

A request stops before each step at which another one could intervene: a statement to PostgreSQL,
the end of a transaction, a call to SpiceDB. One request runs at a time, for as many steps as the
schedule says. A request that waits for a lock or for another request is skipped until it can
continue. A schedule is plain data: hypothesis finds the shortest one that fails, prints it, and can
repeat it.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import pytest
from hypothesis import note
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.util.concurrency import await_

from teamaccess.engine import Engine

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic only in the stubs

Request = Callable[[], Awaitable[httpx.Response]]
Schedule = Sequence[tuple[int, int]]
"""Turns: the number of a request, and how many steps it runs.

After the last turn, the first request that can run does.
"""

SCHEDULES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 16)), max_size=8)
EXAMPLES = int(os.environ.get("TEAMACCESS_SCHEDULES", "4"))
"""How many schedules each test tries. More find more."""

LOOK_SECONDS = 0.01
QUIET_SECONDS = 0.05
"""After this long outside of PostgreSQL, SpiceDB and the stops, a request counts as waiting for
another."""
LONGEST_STEP_SECONDS = 5.0
BLOCKED = "SELECT pid FROM unnest($1::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0"


@dataclass(eq=False)
class InterleavedRequest:
    """One request that is under way, with all tasks that it started."""

    number: int
    interleaving: "Interleaving"
    parked: deque[asyncio.Future[None]] = field(default_factory=deque)
    outside: list[int | None] = field(default_factory=list)
    """The calls it is in: the process id of a PostgreSQL connection, or None for SpiceDB."""
    waits: bool = False
    """Whether the request seems to wait for another one."""
    task: "asyncio.Task[httpx.Response] | None" = None

    @property
    def done(self) -> bool:
        """Whether the answer has arrived and no work is left."""
        return self.task is not None and self.task.done() and not self.parked and not self.outside

    @property
    def moving(self) -> bool:
        """Whether the request will reach its next step or its end without a turn."""
        return not (self.done or self.parked or self.waits)

    async def park(self, what: str) -> None:
        """Return when it is this step's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.parked.append(turn)
        self.waits = False
        self.interleaving.wake()
        try:
            await turn
        finally:
            with suppress(ValueError):
                self.parked.remove(turn)
        self.interleaving.trace.append(f"{self.number} {what}")

    @contextmanager
    def away(self, process: int | None, *, ends: bool = False) -> Iterator[None]:
        """Wrap the step itself. `ends` marks a step that others may have been waiting for."""
        self.outside.append(process)
        try:
            yield
        finally:
            self.outside.remove(process)
            self.waits = False
            if ends:
                for other in self.interleaving.requests:
                    other.waits = False
            self.interleaving.wake()

    def go_on(self) -> None:
        """Run the step that has waited the longest."""
        self.parked.popleft().set_result(None)


_performing: ContextVar[InterleavedRequest | None] = ContextVar("performing", default=None)


@dataclass(eq=False)
class Interleaving:
    """All requests, and the steps that they have taken."""

    observer: Connection
    requests: list[InterleavedRequest] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    open: bool = False
    """Whether all requests run without turns."""
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Look again: something has happened."""
        self._woken.set()

    def enter(self, request: Request) -> None:
        """Begin a request; it stops before its first step."""
        interleaved = InterleavedRequest(len(self.requests), self)
        self.requests.append(interleaved)

        async def perform() -> httpx.Response:
            _performing.set(interleaved)
            try:
                return await request()
            finally:
                self.wake()

        interleaved.task = asyncio.create_task(perform())
        interleaved.task.add_done_callback(lambda _: self.wake())

    async def run(self, schedule: Schedule) -> None:
        """Run the requests by the schedule until all are done."""
        turns = deque((number % len(self.requests), steps) for number, steps in schedule)
        while not all(interleaved.done for interleaved in self.requests):
            await self._settle()
            ready = [interleaved for interleaved in self.requests if interleaved.parked]
            if not ready:
                await self._wait_for_event(LOOK_SECONDS)
                for interleaved in self.requests:
                    interleaved.waits = False
                continue
            while turns and self.requests[turns[0][0]] not in ready:
                turns.popleft()
            interleaved = ready[0]
            if turns:
                number, steps = turns.popleft()
                interleaved = self.requests[number]
                if steps > 1:
                    turns.appendleft((number, steps - 1))
            interleaved.go_on()
            await asyncio.sleep(0)

    def leave(self) -> None:
        """Let all requests run freely."""
        self.open = True
        for interleaved in self.requests:
            while interleaved.parked:
                interleaved.go_on()

    async def _settle(self) -> None:
        """Return when each request is done, stopped before a step, or waiting for another one."""
        quiet_since = time.monotonic()
        for _ in range(5):
            await asyncio.sleep(0)  # a request that was released by another one has started by now
        while moving := [interleaved for interleaved in self.requests if interleaved.moving]:
            if await self._wait_for_event(LOOK_SECONDS):
                quiet_since = time.monotonic()
                continue
            quiet = time.monotonic() - quiet_since
            blocked = await self._blocked(moving)
            for interleaved in moving:
                if interleaved.outside:
                    interleaved.waits = all(process in blocked for process in interleaved.outside)
                else:
                    interleaved.waits = quiet > QUIET_SECONDS
            if quiet > LONGEST_STEP_SECONDS:
                raise TimeoutError(f"nothing has happened since {self.trace[-5:]}")

    async def _wait_for_event(self, seconds: float) -> bool:
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        return self._woken.is_set()

    async def _blocked(self, performers: Sequence[InterleavedRequest]) -> set[int]:
        asking = [process for each in performers for process in each.outside if process is not None]
        if not asking:
            return set()
        return {row["pid"] for row in await self.observer.fetch(BLOCKED, asking)}


async def run_interleaved(
    observer: Connection, schedule: Schedule, *requests: Request
) -> list[httpx.Response]:
    """Run the requests by the schedule and return their answers.

    Hypothesis prints the steps if the test fails.
    """
    interleaving = Interleaving(observer)
    for request in requests:
        interleaving.enter(request)
    try:
        await interleaving.run(schedule)
    finally:
        interleaving.leave()
        tasks = [each.task for each in interleaving.requests if each.task is not None]
        answers = await asyncio.gather(*tasks)
        note("\n".join([f"the schedule was {list(schedule)}:", *interleaving.trace]))
    return answers


@asynccontextmanager
async def stop_before_each_step(database_url: str) -> AsyncIterator[Connection]:
    """Stop each request before each step. Yields a connection for looking at the locks."""
    observer = await asyncpg.connect(database_url)
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name in ("do_execute", "do_executemany"):
                patched.setattr(PGDialect_asyncpg, name, _statement(name))
            for name in ("do_commit", "do_rollback"):
                patched.setattr(PGDialect_asyncpg, name, _end(name))
            for method in (Engine.answers, Engine.check, Engine.find_zed_token, Engine.write):
                patched.setattr(Engine, method.__name__, _call(method.__name__))
            yield observer
    finally:
        await observer.close()


def _statement(name: str) -> Callable[..., None]:
    original = getattr(PGDialect_asyncpg, name)

    def execute(
        dialect: PGDialect_asyncpg, cursor: Any, statement: str, *more: Any, **named: Any
    ) -> None:
        if (interleaved := _stopped()) is None:
            original(dialect, cursor, statement, *more, **named)
            return
        await_(interleaved.park(" ".join(statement.split())[:60]))
        with interleaved.away(cursor._connection.get_server_pid()):
            original(dialect, cursor, statement, *more, **named)

    return execute


def _end(name: str) -> Callable[..., None]:
    original = getattr(PGDialect_asyncpg, name)

    def end(dialect: PGDialect_asyncpg, connection: Any) -> None:
        interleaved = _stopped()
        if interleaved is None or connection._transaction is None:
            original(dialect, connection)
            return
        await_(interleaved.park(name.removeprefix("do_").upper()))
        with interleaved.away(connection._connection.get_server_pid(), ends=True):
            original(dialect, connection)

    return end


def _call(name: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(Engine, name)

    async def call(engine: Engine, *more: Any, **named: Any) -> Any:
        if (interleaved := _stopped()) is None:
            return await original(engine, *more, **named)
        await interleaved.park(f"SpiceDB {name}")
        with interleaved.away(None):
            return await original(engine, *more, **named)

    return call


def _stopped() -> InterleavedRequest | None:
    interleaved = _performing.get()
    return None if interleaved is None or interleaved.interleaving.open else interleaved
