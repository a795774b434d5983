"""An answer that is computed once for all callers, and again after some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Cached(Generic[Answer]):
    """Keeps an answer for `seconds`. Concurrent callers wait for the same computation.

    A failure is kept as well, so an unreachable server is not asked more often than a healthy one.
    """

    def __init__(self, compute: Callable[[], Awaitable[Answer]], seconds: float) -> None:
        self._compute = compute
        self._seconds = seconds
        self._task: asyncio.Task[Answer] | None = None
        self._done_at = 0.0

    async def get(self) -> Answer:
        """Return the answer, or raise the error of its computation."""
        return await asyncio.shield(self._current())

    async def fresh(self) -> Answer:
        """Return an answer whose computation begins now, and keep it for other callers."""
        if self._task is None or self._task.done():
            return await asyncio.shield(self._begin())
        await asyncio.wait([self._task])  # it may have begun before this call
        return await self.get() if not self._task.done() else await asyncio.shield(self._begin())

    def _current(self) -> asyncio.Task[Answer]:
        if self._task is None:
            return self._begin()
        if self._task.done() and time.monotonic() - self._done_at > self._seconds:
            return self._begin()
        return self._task

    def _begin(self) -> asyncio.Task[Answer]:
        self._task = asyncio.create_task(self._timed())
        return self._task

    async def _timed(self) -> Answer:
        try:
            return await self._compute()
        finally:
            self._done_at = time.monotonic()
