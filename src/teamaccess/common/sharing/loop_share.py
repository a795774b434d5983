"""Large work takes only a share of the event loop's time while other tenants send requests.

An audit of thousands of members has thousands of small steps, and each step of another tenant's request
would wait for some of them. So large work calls `give_way` between its steps. That costs nothing while no
other tenant sends requests.
"""

from asyncio import sleep
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from time import monotonic, thread_time

SLICE_SECONDS = 0.002
"""Processor time of the event loop after which large work rests."""
REST = 3.0
"""The length of the rest after a slice, as a multiple of the slice. So one tenant's large work gets at
most a quarter of the event loop's time."""
LONGEST_SLICE_SECONDS = 0.02
"""The most of a slice that counts, because the loop may have been busy with others for most of it."""
LONGEST_STEP_SECONDS = 1.0
"""The most that counts of a step that cannot be divided."""


class LoopShare:
    """The share of one tenant, whose large requests rest together.

    A slice is measured in the event loop's processor time, which includes work for other tenants. The
    share is not thread-safe, because it belongs to one event loop.
    """

    def __init__(self, others_ask: Callable[[], bool]) -> None:
        self.others_ask = others_ask
        """Returns whether another tenant has sent a request recently."""
        self._began: float | None = None
        """The loop's processor time when the slice began, None before the first step after a rest."""
        self._rests_until = 0.0

    async def give_way(self) -> None:
        """Return at once within a slice. After a slice, rest if other tenants send requests."""
        await self._rest()
        spent = thread_time()
        if self._began is None:
            self._began = spent
        if (used := spent - self._began) >= SLICE_SECONDS:
            await self.rest_after(min(used, LONGEST_SLICE_SECONDS))

    async def rest_after(self, used: float) -> None:
        """Rest for as long as `used` seconds of work require, if other tenants send requests."""
        self._began = None
        if self.others_ask():
            rest = REST * min(used, LONGEST_STEP_SECONDS)
            self._rests_until = max(self._rests_until, monotonic() + rest)
        await self._rest()

    async def _rest(self) -> None:
        if (rest := self._rests_until - monotonic()) > 0:
            await sleep(rest)


current_share: ContextVar[LoopShare | None] = ContextVar("current_share", default=None)
"""The share of the request's tenant, None if nobody else could wait."""


def others_ask() -> bool:
    """Return whether tenants other than the request's have sent requests recently."""
    return (share := current_share.get()) is not None and share.others_ask()


async def give_way() -> None:
    """Let other tenants' requests go first, if the request's tenant has used up its slice."""
    if (share := current_share.get()) is not None:
        await share.give_way()


@asynccontextmanager
async def resting_after() -> AsyncIterator[None]:
    """Rest after the block. The block itself cannot rest, because it holds a slot or a lock of its
    tenant."""
    began = monotonic()
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    if (share := current_share.get()) is not None:
        await share.rest_after(monotonic() - began)
    if failure is not None:
        raise failure
