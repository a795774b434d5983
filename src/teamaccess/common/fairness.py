"""Slots that are handed out fairly, and rates that nobody exceeds.

When there are more requests than slots, parties (tenants, say) take turns, then the callers within a
party, then requests in the order of arrival. The party and the caller that had the last slot go to the
end of the round when the next slot is free, not before. So a caller with a thousand requests delays
another's single request by the time of one request, not of two or of a thousand.
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
"""Callers whose rate is remembered; it takes some 20 MB."""

TURN_REST = 2.0
"""How many times as long as a change the rest after it lasts, if changes wait in its line and other
tenants ask."""
LONGEST_TURN_SECONDS = 1.0
"""A change counts as no longer than this: a rest keeps the organization's other callers waiting, too."""

LONGEST_RESERVED_SECONDS = 60.0
"""For how long turns of a caller are remembered after the newest one was given."""
ROUNDING = 1e-6
"""Seconds that the sum of intervals may be off by."""

Waiting = asyncio.Future[None]


class _Line:
    """Everybody of one party who waits, by caller."""

    def __init__(self) -> None:
        self._callers: OrderedDict[Hashable, deque[Waiting]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._callers)

    def join(self, caller: Hashable, waiting: Waiting) -> None:
        self._callers.setdefault(caller, deque()).append(waiting)

    def length(self, caller: Hashable) -> int:
        return len(self._callers.get(caller, ()))

    def leave(self, caller: Hashable, waiting: Waiting) -> None:
        if (line := self._callers.get(caller)) is not None and waiting in line:
            line.remove(waiting)
            if not line:
                del self._callers[caller]

    def next(self, served: Hashable) -> tuple[Hashable, Waiting]:
        """Take out the next request, and return it with its caller.

        `served` is the caller who had the last slot and now goes to the end of the round. Callers who
        came while it held that slot are before it.
        """
        if served in self._callers:
            self._callers.move_to_end(served)
        caller, line = next(iter(self._callers.items()))
        waiting = line.popleft()
        if not line:
            del self._callers[caller]
        return caller, waiting


class FairSlots:
    """A number of slots, of which one party has at most a share.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self, slots: int, share: int) -> None:
        self._free = slots
        self.share = share
        """How many of the slots one party may hold; it may change while they are held."""
        self._held: Counter[Hashable] = Counter()
        self._lines: OrderedDict[Hashable, _Line] = OrderedDict()
        self._served: dict[Hashable, Hashable] = {}
        """The caller who had the last slot, of every party that holds one or waits."""
        self._last: Hashable = None
        """The party that had the last slot of all."""

    @property
    def idle(self) -> bool:
        """Whether nobody holds a slot or waits for one."""
        return not self._held and not self._lines

    @property
    def crowded(self) -> bool:
        """Whether anybody waits."""
        return bool(self._lines)

    def has_backlog(self, party: Hashable) -> bool:
        """Return whether more requests of the party wait than it may hold slots for."""
        return party in self._lines

    def waiting(self, party: Hashable, caller: Hashable = None) -> int:
        """Return how many requests of the caller wait."""
        line = self._lines.get(party)
        return line.length(caller) if line is not None else 0

    async def acquire(self, party: Hashable, caller: Hashable = None) -> None:
        """Take a slot for the party, waiting for those whose turn is before."""
        if self._free and not self._lines.get(party) and self._held[party] < self.share:
            self._take(party, caller)
            return
        waiting: Waiting = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(party, _Line())
        line.join(caller, waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self.release(party)  # it was granted in the very moment
            else:
                line.leave(caller, waiting)
                if not line and self._lines.get(party) is line:
                    del self._lines[party]
                self._forget(party)
            raise

    def release(self, party: Hashable) -> None:
        """Give a slot of the party back, to whoever is next."""
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
        for party in list(self._lines):
            if not self._free:
                return
            if self._held[party] >= self.share:
                continue
            line = self._lines[party]
            caller, waiting = line.next(self._served.get(party))
            while waiting.done() and line:  # somebody has just stopped waiting
                caller, waiting = line.next(self._served.get(party))
            if not line:
                del self._lines[party]
            if not waiting.done():
                self._end_turn()
                self._take(party, caller)
                waiting.set_result(None)

    def _end_turn(self) -> None:
        """Move the party that had the last slot to the end of the round."""
        if self._last in self._lines:
            self._lines.move_to_end(self._last)

    def _forget(self, party: Hashable) -> None:
        """Keep nothing about a party that neither holds a slot nor waits."""
        if party not in self._held and party not in self._lines:
            self._served.pop(party, None)

    def _take(self, party: Hashable, caller: Hashable) -> None:
        self._free -= 1
        self._held[party] += 1
        self._served[party], self._last = caller, party


class Turn:
    """Slots that somebody holds together, until they give them up."""

    def __init__(self) -> None:
        self._held: list[tuple[FairSlots, str, Callable[[], bool]]] = []
        self._began = 0.0
        """When the last slot was taken."""

    async def take(self, slots: FairSlots, party: str, rests: Callable[[], bool]) -> None:
        """Wait for a slot, and hold it with the others. Afterwards it rests if `rests` says so."""
        await slots.acquire(party)
        self._held.append((slots, party, rests))
        self._began = monotonic()

    def give_up(self) -> None:
        """Release all slots; a second call does nothing.

        Where changes wait in line and other tenants ask, the next one begins after a rest. So one
        organization's changes have a third of the process's time at most.
        """
        rest = TURN_REST * min(monotonic() - self._began, LONGEST_TURN_SECONDS)
        while self._held:
            slots, party, rests = self._held.pop()
            if others_ask() and rests():
                asyncio.get_running_loop().call_later(rest, slots.release, party)
            else:
                slots.release(party)


class RateLimit:
    """At most `per_second` on average for each key, and `burst` at once.

    The generic cell rate algorithm: one number is kept for each key, and only while it matters.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 1)
        self._due: TTLCache[Hashable, float] = TTLCache(
            MOST_KEYS, max(LONGEST_RESERVED_SECONDS, 2 * self._tolerance + 2 * self._interval)
        )

    def excess(self, key: Hashable, cost: int = 1) -> float:
        """Count as many for the key and return 0, or the seconds to wait where they are too many.

        What costs more than may come at once is counted as just that.
        """
        if (wait := self._wait(key, cost)) > ROUNDING:
            return wait
        self._count(key, cost)
        return 0.0

    def reserve(self, key: Hashable) -> float:
        """Count one for the key in any case, and return the seconds after which it is its turn."""
        wait = self._wait(key, 1)
        self._count(key, 1)
        return max(0.0, wait)

    def give_back(self, key: Hashable) -> None:
        """Count one less for the key: who reserved a turn does not take it."""
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
    """Return the wait as Retry-After has it."""
    return max(1, math.ceil(wait))
