"""Fair slots, and rate limits.

When requests outnumber the slots, parties (such as tenants) take turns. Within a party, its callers take
turns. The requests of one caller run in the order of arrival. The party and the caller that had the last
slot go to the end of the round when the next slot is free, not earlier. So a caller with a thousand
requests delays another caller's single request by the time of one request, not of two or of a thousand.
"""

import asyncio
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from time import monotonic

from cachetools import TTLCache

from teamaccess.common.loop_share import others_ask

MOST_KEYS = 100_000
"""Callers whose rate is remembered. They take about 20 MB."""

TURN_REST = 2.0
"""The length of the rest after a change, as a multiple of the change's time. There is a rest only if
changes wait in the same queue and other tenants send requests."""
LONGEST_TURN_SECONDS = 1.0
"""The most of a change's time that counts for the rest, because a rest delays the organization's other
callers too."""

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

    def next(self, served: Hashable) -> tuple[Hashable, Waiter]:
        """Remove and return the next request, with its caller.

        `served` is the caller that had the last slot. It goes to the end of the round, after callers that
        came while it held that slot.
        """
        if served in self._callers:
            self._callers.move_to_end(served)
        caller, queue = next(iter(self._callers.items()))
        waiter = queue.popleft()
        if not queue:
            del self._callers[caller]
        return caller, waiter


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
        self._served: dict[Hashable, Hashable] = {}
        """The caller that had the last slot, for every party that holds a slot or waits."""
        self._last: Hashable = None
        """The party that had the last slot of all."""

    @property
    def idle(self) -> bool:
        """Whether no slot is held and no request waits."""
        return not self._held and not self._queues

    @property
    def crowded(self) -> bool:
        """Whether any request waits."""
        return bool(self._queues)

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
            self._take(party, caller)
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
                self._forget(party)
            raise

    def release(self, party: Hashable) -> None:
        """Give a slot of the party back. The next request gets it."""
        self._free += 1
        self._held[party] -= 1
        self._grant()
        if not self._held[party]:
            del self._held[party]
        self._forget(party)

    @asynccontextmanager
    async def slot(self, party: Hashable, caller: Hashable = None) -> AsyncIterator[None]:
        """Hold a slot for as long as the block runs."""
        await self.acquire(party, caller)
        try:
            yield
        finally:
            self.release(party)

    def _grant(self) -> None:
        self._end_turn()
        for party in list(self._queues):
            if not self._free:
                return
            if self._held[party] >= self.share:
                continue
            queue = self._queues[party]
            caller, waiter = queue.next(self._served.get(party))
            while waiter.done() and queue:  # this request was cancelled a moment ago
                caller, waiter = queue.next(self._served.get(party))
            if not queue:
                del self._queues[party]
            if not waiter.done():
                self._end_turn()
                self._take(party, caller)
                waiter.set_result(None)

    def _end_turn(self) -> None:
        """Move the party that had the last slot to the end of the round."""
        if self._last in self._queues:
            self._queues.move_to_end(self._last)

    def _forget(self, party: Hashable) -> None:
        """Forget a party that neither holds a slot nor waits."""
        if party not in self._held and party not in self._queues:
            self._served.pop(party, None)

    def _take(self, party: Hashable, caller: Hashable) -> None:
        self._free -= 1
        self._held[party] += 1
        self._served[party], self._last = caller, party


class Turn:
    """Slots that a change holds together until it gives them up."""

    def __init__(self) -> None:
        self._held: list[tuple[FairSlots, str, Callable[[], bool]]] = []
        self._began = 0.0
        """When the last slot was taken."""

    async def take(self, slots: FairSlots, party: str, rests: Callable[[], bool]) -> None:
        """Wait for a slot, and hold it with the others. If `rests` returns true, a rest follows it."""
        await slots.acquire(party)
        self._held.append((slots, party, rests))
        self._began = monotonic()

    def give_up(self) -> None:
        """Release all slots. A second call does nothing.

        If changes wait in the queue and other tenants send requests, the next change begins after a rest.
        So one organization's changes get at most a third of the process's time.
        """
        rest = TURN_REST * min(monotonic() - self._began, LONGEST_TURN_SECONDS)
        while self._held:
            slots, party, rests = self._held.pop()
            if others_ask() and rests():
                asyncio.get_running_loop().call_later(rest, slots.release, party)
            else:
                slots.release(party)


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

    def charge(self, key: Hashable, seconds: float) -> None:
        """Count more for the key: the next turns come so much later."""
        self._count(key, seconds / self._interval)

    def _wait(self, key: Hashable, cost: int) -> float:
        now = time.monotonic()
        more = min((cost - 1) * self._interval, self._tolerance)
        return max(now, self._due.get(key, now)) + more - self._tolerance - now

    def _count(self, key: Hashable, cost: float) -> None:
        now = time.monotonic()
        self._due[key] = max(now, self._due.get(key, now)) + cost * self._interval


def whole_seconds(wait: float) -> int:
    """Return the wait in whole seconds, at least 1, for the header Retry-After."""
    return max(1, math.ceil(wait))
