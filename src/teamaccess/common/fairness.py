"""Fair slots, and rate limits.

When requests outnumber the slots, parties (such as tenants) take turns. Within a party, its callers take
turns. The requests of one caller run in the order of arrival. So a caller with a thousand requests delays
another caller's single request by the time of one request, not of a thousand.
"""

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from functools import partial

from cachetools import TTLCache

MOST_KEYS = 100_000
"""Callers whose rate is remembered. They take about 20 MB."""

LONGEST_RESERVED_SECONDS = 60.0
"""Seconds for which the turns of a caller are remembered after the newest reservation."""
ROUNDING = 1e-6
"""Seconds by which the sum of the intervals may be wrong."""

Waiter = asyncio.Future[None]


class _Queue:
    """The waiting requests of one party, by caller."""

    def __init__(self) -> None:
        self._callers: OrderedDict[Hashable, deque[Waiter]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._callers)

    def join(self, caller: Hashable, waiter: Waiter) -> None:
        self._callers.setdefault(caller, deque()).append(waiter)

    def length(self, caller: Hashable) -> int:
        return len(self._callers.get(caller, ()))

    def leave(self, caller: Hashable, waiter: Waiter) -> None:
        if (queue := self._callers.get(caller)) is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._callers[caller]

    def next(self) -> Waiter:
        """Remove and return the next request. Its caller goes to the end of the round."""
        caller, queue = self._callers.popitem(last=False)
        waiter = queue.popleft()
        if queue:
            self._callers[caller] = queue
        return waiter


class FairSlots:
    """A number of slots. One party holds at most a share of them.

    It is not thread-safe. It belongs to one event loop.
    """

    def __init__(self, slots: int, share: int) -> None:
        self._free = slots
        self.share = share
        """How many of the slots one party may hold. It may change while slots are held."""
        self._held: Counter[Hashable] = Counter()
        self._queues: OrderedDict[Hashable, _Queue] = OrderedDict()

    @property
    def idle(self) -> bool:
        """Whether no slot is held and no request waits."""
        return not self._held and not self._queues

    def has_backlog(self, party: Hashable) -> bool:
        """Return whether requests of the party wait for a slot."""
        return party in self._queues

    def waiting(self, party: Hashable, caller: Hashable = None) -> int:
        """Return how many requests of the caller wait for a slot."""
        queue = self._queues.get(party)
        return queue.length(caller) if queue is not None else 0

    async def acquire(self, party: Hashable, caller: Hashable = None) -> None:
        """Take a slot for the party, after the requests whose turn comes first."""
        if self._free and not self._queues.get(party) and self._held[party] < self.share:
            self._take(party)
            return
        waiter: Waiter = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(party, _Queue())
        queue.join(caller, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release(party)  # the slot was granted at the moment of the cancellation
            else:
                queue.leave(caller, waiter)
                if not queue and self._queues.get(party) is queue:
                    del self._queues[party]
            raise

    def release(self, party: Hashable) -> None:
        """Give a slot of the party back. The next request gets it."""
        self._free += 1
        self._held[party] -= 1
        if not self._held[party]:
            del self._held[party]
        self._grant()

    @asynccontextmanager
    async def slot(self, party: Hashable, caller: Hashable = None) -> AsyncIterator[None]:
        """Hold a slot for as long as the block runs."""
        await self.acquire(party, caller)
        try:
            yield
        finally:
            self.release(party)

    def _grant(self) -> None:
        for party in list(self._queues):
            if not self._free:
                return
            if self._held[party] >= self.share:
                continue
            queue = self._queues.pop(party)
            waiter = queue.next()
            while waiter.done() and queue:  # this request was cancelled a moment ago
                waiter = queue.next()
            if queue:
                self._queues[party] = queue  # at the end of the round
            if not waiter.done():
                self._take(party)
                waiter.set_result(None)

    def _take(self, party: Hashable) -> None:
        self._free -= 1
        self._held[party] += 1


class Turn:
    """Slots that somebody holds together, until they give them up."""

    def __init__(self) -> None:
        self._releases: list[Callable[[], None]] = []

    async def take(self, slots: FairSlots, party: str) -> None:
        """Wait for a slot, and hold it with the others."""
        await slots.acquire(party)
        self._releases.append(partial(slots.release, party))

    def give_up(self) -> None:
        """Release all slots; a second call does nothing."""
        while self._releases:
            self._releases.pop()()


class RateLimit:
    """Allows each key `per_second` requests on average, and `burst` at once.

    It is the generic cell rate algorithm. It keeps one number for each key, only as long as it matters.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 1)
        self._due: TTLCache[Hashable, float] = TTLCache(
            MOST_KEYS, max(LONGEST_RESERVED_SECONDS, 2 * self._tolerance + 2 * self._interval)
        )

    def retry_after(self, key: Hashable, cost: int = 1) -> float:
        """Count `cost` requests for the key and return 0. Beyond the limit, return the seconds to wait.

        Requests beyond the limit are not counted. A cost above `burst` waits no longer than a cost of
        `burst`, but it counts in full.
        """
        if (wait := self._wait(key, cost)) > ROUNDING:
            return wait
        self._count(key, cost)
        return 0.0

    def reserve(self, key: Hashable) -> float:
        """Count one request for the key in any case. Return the seconds until its turn."""
        wait = self._wait(key, 1)
        self._count(key, 1)
        return max(0.0, wait)

    def cancel_reservation(self, key: Hashable) -> None:
        """Count one request less for the key, because a reserved turn was not used."""
        if (due := self._due.get(key)) is not None:
            self._due[key] = due - self._interval

    def _wait(self, key: Hashable, cost: int) -> float:
        now = time.monotonic()
        more = min((cost - 1) * self._interval, self._tolerance)
        return max(now, self._due.get(key, now)) + more - self._tolerance - now

    def _count(self, key: Hashable, cost: int) -> None:
        now = time.monotonic()
        self._due[key] = max(now, self._due.get(key, now)) + cost * self._interval


def whole_seconds(wait: float) -> int:
    """Return the wait in whole seconds, at least 1, for the header Retry-After."""
    return max(1, math.ceil(wait))
