"""Slots go round by party and caller, and nobody exceeds a rate."""

import asyncio
from collections.abc import Hashable

import pytest

from teamaccess.common.fairness import FairSlots, RateLimit


class Served:
    """Notes who is served, in order; each holds the slot until the next turn of the loop."""

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
        ("big", "a"),
        ("small", "c"),
        ("big", "b"),
        ("big", "a"),
        ("big", "b"),
        ("big", "a"),
        ("big", "a"),
    ]
    assert served.slots.idle


async def test_one_party_has_its_share_at_most() -> None:
    slots = FairSlots(4, 2)
    for _ in range(2):
        await slots.acquire("big")
    third = asyncio.ensure_future(slots.acquire("big"))
    await asyncio.wait_for(slots.acquire("small"), 1)
    assert not third.done()
    slots.release("big")
    await asyncio.wait_for(third, 1)


@pytest.mark.parametrize("granted", [False, True])
async def test_who_stops_waiting_keeps_no_slot(granted: bool) -> None:
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


async def test_whoever_is_next_may_have_gone() -> None:
    slots = FairSlots(1, 1)
    await slots.acquire("a")
    gone, next_one = (asyncio.ensure_future(slots.acquire("b")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    slots.release("a")
    await asyncio.wait_for(next_one, 1)
    slots.release("b")
    assert slots.idle


def test_a_rate_allows_a_burst_and_then_its_average(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("teamaccess.common.fairness.time.monotonic", lambda: now)
    limit = RateLimit(per_second=10, burst=5)
    assert [limit.retry_after("a") for _ in range(5)] == [0.0] * 5
    assert limit.retry_after("a") == pytest.approx(0.1)
    assert limit.retry_after("b") == 0.0
    now += 0.1
    assert limit.retry_after("a") == 0.0
    assert limit.retry_after("a") > 0
