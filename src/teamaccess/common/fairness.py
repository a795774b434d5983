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
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

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
Request = TypeVar("Request")


class _Line(Generic[Request]):
    """The requests that wait in one line, by caller."""

    def __init__(self) -> None:
        self._callers: OrderedDict[Hashable, deque[Request]] = OrderedDict()

    def __iter__(self) -> Iterator[Request]:
        """Return the oldest request of each caller."""
        return (requests[0] for requests in self._callers.values())

    def __bool__(self) -> bool:
        return bool(self._callers)

    def join(self, caller: Hashable, waiting: Request) -> None:
        self._callers.setdefault(caller, deque()).append(waiting)

    def length(self, caller: Hashable) -> int:
        return len(self._callers.get(caller, ()))

    def leave(self, caller: Hashable, waiting: Request) -> None:
        if (line := self._callers.get(caller)) is not None and waiting in line:
            line.remove(waiting)
            if not line:
                del self._callers[caller]

    def next(self, served: Hashable) -> tuple[Hashable, Request]:
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

    def first(self, served: Hashable, fits: Callable[[Request], bool]) -> Request | None:
        """Return the next caller's oldest request that fits, and leave it in the line.

        `served` is the caller who had the last slot, as in `next`.
        """
        if served in self._callers:
            self._callers.move_to_end(served)
        return next(filter(fits, self), None)

    def oldest(self, caller: Hashable) -> Request | None:
        """Return the oldest request of the caller."""
        return self._callers[caller][0] if caller in self._callers else None


class FairSlots:
    """A number of slots, of which one party has at most a share.

    Not thread-safe: it belongs to one event loop.
    """

    def __init__(self, slots: int, share: int) -> None:
        self._free = slots
        self.share = share
        """How many of the slots one party may hold; it may change while they are held."""
        self._held: Counter[Hashable] = Counter()
        self._lines: OrderedDict[Hashable, _Line[Waiting]] = OrderedDict()
        self._served: dict[Hashable, Hashable] = {}
        """The caller who had the last slot, of every party that holds one or waits."""
        self._last: Hashable = None
        """The party that had the last slot of all."""

    @property
    def idle(self) -> bool:
        """Whether nobody holds a slot or waits for one."""
        return not self._held and not self._lines

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


class Slot(NamedTuple):
    """A slot of one kind."""

    kind: Hashable
    most: int
    """How many slots of the kind may be held at once."""


@dataclass(eq=False)
class _JointRequest:
    """A request for several slots together."""

    line: Slot
    party: str
    slots: tuple[Slot, ...]
    granted: Waiting


class JointSlots:
    """Slots of several kinds, of which a request gets all that it needs at the same time.

    SECURITY: a request holds nothing while it waits. If a caller has used up one kind of slots, their
    requests do not keep slots of other kinds from other callers.

    Requests wait in lines. In a line, callers take turns. If several lines could go on, the caller who
    got slots least recently is next. Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._held: Counter[Hashable] = Counter()
        self._lines: dict[Slot, _Line[_JointRequest]] = {}
        self._served: dict[Slot, str] = {}
        """The caller who had the last slot, of every line that holds one or in which requests wait."""
        self._waiting: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        """The place in the round of each caller who waits."""
        self._numbers = count()
        self._last = ""
        """The caller who had the last slot of all."""

    @property
    def idle(self) -> bool:
        """Whether nobody holds a slot or waits for one."""
        return not (self._held or self._lines or self._served or self._places or self._waiting)

    def held(self, kind: Hashable) -> int:
        """Return how many slots of the kind are held."""
        return self._held[kind]

    def waiting(self, line: Slot, party: str) -> int:
        """Return how many requests of the caller wait in the line."""
        return queue.length(party) if (queue := self._lines.get(line)) is not None else 0

    async def acquire(self, line: Slot, party: str, *others: Slot) -> None:
        """Take a slot of the line and the others together, when it is the caller's turn in the line."""
        granted: Waiting = asyncio.get_running_loop().create_future()
        request = _JointRequest(line, party, (line, *others), granted)
        if not self.waiting(line, party) and self._fits(request):
            self._hold(request)
            return
        self._join(request)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(request.slots)  # it was granted in the very moment
            else:
                self._leave(request)
                self._grant()  # the caller's next request may need less than this one
                self._forget(request.slots)
            raise

    def release(self, slots: Collection[Slot]) -> None:
        """Give the slots back together, to the requests that are next."""
        for slot in slots:
            self._held[slot.kind] -= 1
            if not self._held[slot.kind]:
                del self._held[slot.kind]
        self._grant()
        self._forget(slots)

    def is_awaited(self, line: Slot, slots: Collection[Slot]) -> bool:
        """Return whether a request in the line could go on if its holder gave these slots back."""
        freed = {slot.kind for slot in slots}
        return any(self._fits(request, freed) for request in self._lines.get(line, ()))

    def has_backlog(self, party: str, slots: Collection[Slot]) -> bool:
        """Return whether a request of the caller could go on, in any line, if these were given back."""
        freed = {slot.kind for slot in slots}
        return party in self._waiting and any(
            (request := queue.oldest(party)) is not None and self._fits(request, freed)
            for queue in self._lines.values()
        )

    def _has_room(self, slot: Slot, freed: Collection[Hashable] = ()) -> bool:
        return self._held[slot.kind] - (slot.kind in freed) < slot.most

    def _fits(self, request: _JointRequest, freed: Collection[Hashable] = ()) -> bool:
        return not request.granted.done() and all(
            self._has_room(slot, freed) for slot in request.slots
        )

    def _grant(self) -> None:
        while (request := self._next()) is not None:
            self._leave(request)
            self._hold(request)
            request.granted.set_result(None)

    def _next(self) -> _JointRequest | None:
        """Return the request that is next of those that could go on."""
        if self._last in self._places:
            self._places[self._last] = next(self._numbers)
        could_go_on = (
            request
            for line, queue in self._lines.items()
            if self._has_room(line)
            and (request := queue.first(self._served.get(line), self._fits)) is not None
        )
        return min(could_go_on, key=lambda request: self._places[request.party], default=None)

    def _hold(self, request: _JointRequest) -> None:
        self._held.update(slot.kind for slot in request.slots)
        self._served[request.line] = self._last = request.party

    def _join(self, request: _JointRequest) -> None:
        self._lines.setdefault(request.line, _Line()).join(request.party, request)
        self._waiting[request.party] += 1
        self._places.setdefault(request.party, next(self._numbers))

    def _leave(self, request: _JointRequest) -> None:
        queue = self._lines[request.line]
        queue.leave(request.party, request)
        if not queue:
            del self._lines[request.line]
        self._waiting[request.party] -= 1
        if not self._waiting[request.party]:
            del self._waiting[request.party], self._places[request.party]

    def _forget(self, slots: Collection[Slot]) -> None:
        """Keep nothing about a line that neither holds a slot nor has waiting requests."""
        for slot in slots:
            if slot.kind not in self._held and slot not in self._lines:
                self._served.pop(slot, None)


class Turn:
    """Slots that somebody holds together, until they give them up."""

    def __init__(self) -> None:
        self._give_up: Callable[[float], None] | None = None
        self._began = 0.0
        """When the slots were taken."""

    async def take(self, slots: JointSlots, line: Slot, party: str, *others: Slot) -> None:
        """Wait for a slot of the line and all others, and hold them together."""
        await slots.acquire(line, party, *others)
        self._give_up = partial(_give_up, slots, line, party, others)
        self._began = monotonic()

    def give_up(self) -> None:
        """Release all slots; a second call does nothing.

        Where changes wait in line and other tenants ask, the next one begins after a rest. So one
        organization's changes have a third of the process's time at most.
        """
        give_up, self._give_up = self._give_up, None
        if give_up is not None:
            give_up(TURN_REST * min(monotonic() - self._began, LONGEST_TURN_SECONDS))


def _give_up(
    slots: JointSlots, line: Slot, party: str, others: tuple[Slot, ...], rest: float
) -> None:
    """Release the slots: after the rest if other tenants ask and somebody waits for just these."""
    held, resting = (line, *others), list[Slot]()
    if others_ask():
        resting += [line] if slots.is_awaited(line, held) else []
        resting += others if slots.has_backlog(party, others) else []
    if resting:
        asyncio.get_running_loop().call_later(rest, slots.release, resting)
    slots.release([slot for slot in held if slot not in resting])


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
