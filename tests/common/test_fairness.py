"""Slots alternate between parties and callers, and no caller exceeds a rate."""

import asyncio
from collections.abc import Hashable

import pytest

from teamaccess.common.sharing.fairness import FairSlots, JointSlots, Slot
from teamaccess.common.sharing.rate_limit import RateLimit


class Served:
    """Records the order of service. Each caller holds the slot until the next turn of the loop."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.order: list[tuple[Hashable, Hashable]] = []

    async def ask(self, party: Hashable, caller: Hashable) -> None:
        """Wait for a slot, and give it back."""
        async with self.slots.slot(party, caller):
            self.order.append((party, caller))
            await asyncio.sleep(0)


async def test_parties_and_callers_take_turns() -> None:
    served = Served(FairSlots(1, 1))
    wanted = [("big", "a")] * 5 + [("big", "b")] * 2 + [("small", "c")]
    await asyncio.gather(*(served.ask(*each) for each in wanted))
    assert served.order == [
        ("big", "a"),
        ("small", "c"),
        ("big", "b"),
        ("big", "a"),
        ("big", "b"),
        ("big", "a"),
        ("big", "a"),
        ("big", "a"),
    ]
    assert served.slots.idle


@pytest.mark.parametrize(
    ("busy", "newcomer"),
    [(("big", "a"), ("big", "b")), (("big", "a"), ("small", "b"))],
    ids=["caller", "party"],
)
@pytest.mark.parametrize("served_before", [0, 1, 2])
async def test_a_newcomer_waits_for_one_request_of_a_busy_caller(
    busy: tuple[str, str], newcomer: tuple[str, str], served_before: int
) -> None:
    """It does not wait for two, however many of the caller's requests were served before."""
    slots = FairSlots(1, 1)
    await slots.acquire(*busy)
    waiting = [asyncio.ensure_future(slots.acquire(*busy)) for _ in range(served_before + 2)]
    for each in waiting[:served_before]:
        slots.release(busy[0])
        await each
    await asyncio.sleep(0)
    new = asyncio.ensure_future(slots.acquire(*newcomer))
    await asyncio.sleep(0)
    slots.release(busy[0])
    await asyncio.wait_for(new, 1)
    assert not any(each.done() for each in waiting[served_before:])
    slots.release(newcomer[0])
    await asyncio.wait_for(waiting[served_before], 1)
    slots.release(busy[0])
    await asyncio.wait_for(waiting[served_before + 1], 1)
    slots.release(busy[0])
    assert slots.idle


async def test_nothing_is_kept_about_parties_that_neither_hold_nor_wait() -> None:
    slots = FairSlots(1, 1)
    await slots.acquire("a")
    gone, served = (asyncio.ensure_future(slots.acquire(party)) for party in ("gone", "served"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    slots.release("a")
    await served
    assert slots._served.keys() == {"served"}
    slots.release("served")
    assert slots.idle
    assert not slots._served


async def test_a_caller_whose_last_request_is_served_has_no_place_before_a_newcomer() -> None:
    """The queue was empty for a moment, and the busy caller returns before the newcomer arrives."""
    slots = FairSlots(1, 1)
    await slots.acquire("big", "a")
    again = asyncio.ensure_future(slots.acquire("big", "a"))
    await asyncio.sleep(0)
    new = asyncio.ensure_future(slots.acquire("big", "b"))
    await asyncio.sleep(0)
    slots.release("big")
    await asyncio.wait_for(new, 1)
    assert not again.done()
    slots.release("big")
    await asyncio.wait_for(again, 1)


async def test_one_party_has_at_most_its_share() -> None:
    slots = FairSlots(4, 2)
    for _ in range(2):
        await slots.acquire("big")
    third = asyncio.ensure_future(slots.acquire("big"))
    await asyncio.wait_for(slots.acquire("small"), 1)
    assert not third.done()
    slots.release("big")
    await asyncio.wait_for(third, 1)


@pytest.mark.parametrize("granted", [False, True])
async def test_a_waiter_who_stops_waiting_keeps_no_slot(granted: bool) -> None:
    slots = FairSlots(1, 1)
    await slots.acquire("a")
    waiting = asyncio.ensure_future(slots.acquire("b"))
    await asyncio.sleep(0)
    if granted:
        slots.release("a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        slots.release("a")
    assert slots.idle
    await asyncio.wait_for(slots.acquire("c"), 1)


async def test_the_next_waiter_may_have_stopped_waiting() -> None:
    slots = FairSlots(1, 1)
    await slots.acquire("a")
    gone, next_one = (asyncio.ensure_future(slots.acquire("b")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    slots.release("a")
    await asyncio.wait_for(next_one, 1)
    slots.release("b")
    assert slots.idle


ACME, GLOBEX = Slot("acme", 1), Slot("globex", 1)


async def joint(slots: JointSlots, line: Slot, party: str, *others: Slot) -> asyncio.Task[None]:
    """Ask for slots in a task of their own, and return it when it has them or waits."""
    task = asyncio.create_task(slots.acquire(line, party, *others))
    await asyncio.sleep(0)
    return task


async def test_a_request_that_waits_for_one_slot_holds_no_other() -> None:
    slots, of_eve = JointSlots(), Slot("eve", 1)
    await slots.acquire(GLOBEX, "eve", of_eve)
    waiting = await joint(slots, ACME, "eve", of_eve)
    await asyncio.wait_for(slots.acquire(ACME, "bob"), 1)
    slots.release([GLOBEX, of_eve])
    await asyncio.sleep(0)
    assert not waiting.done()
    assert slots.held("eve") == 0
    slots.release([ACME])
    await asyncio.wait_for(waiting, 1)
    slots.release([ACME, of_eve])
    assert slots.idle


async def test_callers_take_turns_in_a_line_and_keep_their_place_without_a_connection() -> None:
    slots, of_eve = JointSlots(), Slot("eve", 1)
    await slots.acquire(GLOBEX, "eve", of_eve)
    await slots.acquire(ACME, "bob")
    hers = await joint(slots, ACME, "eve", of_eve)
    bobs = [await joint(slots, ACME, "bob") for _ in range(3)]
    slots.release([ACME])
    await asyncio.wait_for(bobs[0], 1)
    slots.release([GLOBEX, of_eve])
    slots.release([ACME])
    await asyncio.wait_for(hers, 1)
    assert not any(each.done() for each in bobs[1:])
    for each in bobs[1:]:
        slots.release([ACME, of_eve] if each is bobs[1] else [ACME])
        await asyncio.wait_for(each, 1)
    slots.release([ACME])
    assert slots.idle


async def test_callers_take_turns_in_what_several_lines_share() -> None:
    """A caller with many lines does not go before a caller with one."""
    slots, shared = JointSlots(), Slot("shared", 1)
    await slots.acquire(ACME, "bob", shared)
    many = [await joint(slots, Slot(f"eve-{n}", 1), "eve", shared) for n in range(3)]
    one = await joint(slots, GLOBEX, "ana", shared)
    slots.release([ACME, shared])
    await asyncio.wait_for(many[0], 1)
    slots.release([Slot("eve-0", 1), shared])
    await asyncio.wait_for(one, 1)
    assert not any(each.done() for each in many[1:])
    for each in many[1:]:
        each.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    slots.release([GLOBEX, shared])
    assert slots.idle


@pytest.mark.parametrize("granted", [False, True])
async def test_a_request_that_stops_waiting_keeps_none_of_its_slots(granted: bool) -> None:
    slots, shared = JointSlots(), Slot("shared", 1)
    await slots.acquire(ACME, "a", shared)
    waiting = await joint(slots, ACME, "b", shared)
    after = await joint(slots, ACME, "b", shared)
    if granted:
        slots.release([ACME, shared])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        slots.release([ACME, shared])
    await asyncio.wait_for(after, 1)
    slots.release([ACME, shared])
    assert slots.idle


async def test_only_requests_that_could_go_on_await_a_slot() -> None:
    """A line whose requests wait for something else does not rest for them."""
    slots, of_eve = JointSlots(), Slot("eve", 1)
    await slots.acquire(GLOBEX, "eve", of_eve)
    await slots.acquire(ACME, "bob")
    hers = await joint(slots, ACME, "eve", of_eve)
    assert not slots.is_awaited(ACME, [ACME])
    assert not slots.has_backlog("eve", [of_eve])
    slots.release([ACME])
    assert slots.has_backlog("eve", [of_eve])
    slots.release([GLOBEX, of_eve])
    await hers
    bobs = await joint(slots, ACME, "bob")
    assert slots.is_awaited(ACME, [ACME, of_eve])
    bobs.cancel()
    await asyncio.gather(bobs, return_exceptions=True)
    slots.release([ACME, of_eve])
    assert slots.idle


def test_a_rate_allows_a_burst_and_then_its_average(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("teamaccess.common.sharing.rate_limit.time.monotonic", lambda: now)
    limit = RateLimit(per_second=10, burst=5)
    assert [limit.retry_after("a") for _ in range(5)] == [0.0] * 5
    assert limit.retry_after("a") == pytest.approx(0.1)
    assert limit.retry_after("b") == 0.0
    now += 0.1
    assert limit.retry_after("a") == 0.0
    assert limit.retry_after("a") > 0
