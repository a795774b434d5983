"""Fair slots: whose turn it is when many ask for few places.

When requests outnumber the slots, parties (such as tenants) take turns. Within a party, its callers take
turns. The requests of one caller run in the order of arrival. The party and the caller that had the last
slot go to the end of the round when the next slot is free, not earlier. So a caller with a thousand
requests delays another caller's single request by the time of one request, not of two or of a thousand.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from teamaccess.common.sharing.loop_share import others_ask

TURN_REST = 2.0
"""The length of the rest after a change, as a multiple of the change's time. There is a rest only if
changes wait in the same queue and other tenants send requests."""
LONGEST_TURN_SECONDS = 1.0
"""The most of a change's time that counts for the rest, because a rest delays the organization's other
callers too."""

Waiter = asyncio.Future[None]
Request = TypeVar("Request")


class _Queue(Generic[Request]):
    """The waiting requests of one party or line, by caller."""

    def __init__(self) -> None:
        self._callers: OrderedDict[Hashable, deque[Request]] = OrderedDict()

    def __iter__(self) -> Iterator[Request]:
        """Return the oldest request of each caller."""
        return (requests[0] for requests in self._callers.values())

    def __bool__(self) -> bool:
        return bool(self._callers)

    def join(self, caller: Hashable, waiter: Request) -> None:
        self._callers.setdefault(caller, deque()).append(waiter)

    def length(self, caller: Hashable) -> int:
        return len(self._callers.get(caller, ()))

    def leave(self, caller: Hashable, waiter: Request) -> None:
        if (queue := self._callers.get(caller)) is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._callers[caller]

    def next(self, served: Hashable) -> tuple[Hashable, Request]:
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
    """A number of slots. One party holds at most a share of them.

    It is not thread-safe. It belongs to one event loop.
    """

    def __init__(self, slots: int, share: int) -> None:
        self._free = slots
        self.share = share
        """How many of the slots one party may hold. It may change while slots are held."""
        self._held: Counter[Hashable] = Counter()
        self._queues: OrderedDict[Hashable, _Queue[Waiter]] = OrderedDict()
        self._served: dict[Hashable, Hashable] = {}
        """The last caller who got a slot, for each party that holds a slot or waits."""
        self._last: Hashable = None
        """The party that had the last slot of all."""

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
    granted: Waiter


class JointSlots:
    """Slots of several kinds. A request gets all that it needs at the same time.

    SECURITY: a request holds nothing while it waits. If a caller has used up one kind of slots, their
    requests do not keep slots of other kinds from other callers.

    Requests wait in lines. In a line, callers take turns. If several lines could go on, the caller who
    got slots least recently is next. Not thread-safe: it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._held: Counter[Hashable] = Counter()
        self._lines: dict[Slot, _Queue[_JointRequest]] = {}
        self._served: dict[Slot, str] = {}
        """The last caller who got a slot of a line, for each line that is held or waited for."""
        self._waiting: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        """The place in the round of each caller who waits."""
        self._numbers = count()
        self._last = ""
        """The caller who had the last slot of all."""

    @property
    def idle(self) -> bool:
        """Whether no slot is held and no request waits."""
        return not (self._held or self._lines or self._served or self._places or self._waiting)

    def held(self, kind: Hashable) -> int:
        """Return how many slots of the kind are held."""
        return self._held[kind]

    def waiting(self, line: Slot, party: str) -> int:
        """Return how many requests of the caller wait in the line."""
        return queue.length(party) if (queue := self._lines.get(line)) is not None else 0

    async def acquire(self, line: Slot, party: str, *others: Slot) -> None:
        """Take a slot of the line and the others together, when it is the caller's turn in the line."""
        granted: Waiter = asyncio.get_running_loop().create_future()
        request = _JointRequest(line, party, (line, *others), granted)
        if not self.waiting(line, party) and self._fits(request):
            self._hold(request)
            return
        self._join(request)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(
                    request.slots
                )  # the slots were granted at the moment of the cancellation
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
        self._lines.setdefault(request.line, _Queue()).join(request.party, request)
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
    """Slots that a change holds together until it gives them up."""

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
        """Release all slots. A second call does nothing.

        If changes wait in the queue and other tenants send requests, the next change begins after a rest.
        So one organization's changes get at most a third of the process's time.
        """
        give_up, self._give_up = self._give_up, None
        if give_up is not None:
            give_up(TURN_REST * min(monotonic() - self._began, LONGEST_TURN_SECONDS))


def _give_up(
    slots: JointSlots, line: Slot, party: str, others: tuple[Slot, ...], rest: float
) -> None:
    """Release the slots. If other tenants ask, slots that another request waits for rest first."""
    held = (line, *others)
    awaited = [line] if slots.is_awaited(line, held) else []
    awaited += others if slots.has_backlog(party, others) else []
    resting = awaited if awaited and others_ask() else []
    if resting:
        asyncio.get_running_loop().call_later(rest, slots.release, resting)
    slots.release([slot for slot in held if slot not in resting])
