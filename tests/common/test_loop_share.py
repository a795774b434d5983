"""Large work rests while other tenants ask, and not otherwise."""

import asyncio

import pytest

from teamaccess.common.sharing.loop_share import (
    LONGEST_SLICE_SECONDS,
    LONGEST_STEP_SECONDS,
    REST,
    SLICE_SECONDS,
    LoopShare,
    current_share,
    give_way,
    others_ask,
    resting_after,
)


class Clock:
    """A clock that moves only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.spent = 5.0
        """Processor time of the event loop."""
        self.rests: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note the rest, and let it pass."""
        self.rests.append(seconds)
        self.now += seconds

    def work(self, seconds: float) -> None:
        """Use the processor."""
        self.now += seconds
        self.spent += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the shares read."""
    clock = Clock()
    monkeypatch.setattr("teamaccess.common.sharing.loop_share.monotonic", lambda: clock.now)
    monkeypatch.setattr("teamaccess.common.sharing.loop_share.thread_time", lambda: clock.spent)
    monkeypatch.setattr("teamaccess.common.sharing.loop_share.sleep", clock.sleep)
    return clock


async def steps(clock: Clock, share: LoopShare, count: int, seconds: float) -> None:
    """Do `count` steps of large work, each of so many seconds."""
    for _ in range(count):
        await share.give_way()
        clock.work(seconds)
    await share.give_way()


async def test_large_work_has_a_quarter_of_the_loop_while_others_ask(clock: Clock) -> None:
    began = clock.now
    await steps(clock, LoopShare(lambda: True), 1000, SLICE_SECONDS / 4)
    worked = 1000 * SLICE_SECONDS / 4
    assert sum(clock.rests) == pytest.approx(REST * worked, rel=0.3)
    assert clock.now - began >= 3 * worked
    assert max(clock.rests) < 10 * SLICE_SECONDS


async def test_large_work_never_rests_while_nobody_else_asks(clock: Clock) -> None:
    await steps(clock, LoopShare(lambda: False), 1000, SLICE_SECONDS)
    assert clock.rests == []


async def test_large_work_within_its_slice_never_rests(clock: Clock) -> None:
    await steps(clock, LoopShare(lambda: True), 10, SLICE_SECONDS / 20)
    assert clock.rests == []


async def test_time_that_others_used_counts_up_to_a_limit(clock: Clock) -> None:
    await steps(clock, LoopShare(lambda: True), 1, 60)
    assert clock.rests == [pytest.approx(REST * LONGEST_SLICE_SECONDS)]


async def test_requests_of_one_tenant_rest_together(clock: Clock) -> None:
    share = LoopShare(lambda: True)
    await share.give_way()
    clock.work(SLICE_SECONDS)
    share._rests_until = clock.now + 1  # another request of the tenant rests until then
    await share.give_way()
    assert clock.rests[0] == pytest.approx(1)


async def test_a_step_that_cannot_be_divided_is_rested_for_afterwards(clock: Clock) -> None:
    async def fail(seconds: float, error: BaseException) -> None:
        async with resting_after():
            clock.work(seconds)
            raise error

    token = current_share.set(LoopShare(lambda: True))
    try:
        async with resting_after():
            clock.work(0.1)
            assert clock.rests == []
        assert clock.rests == [pytest.approx(REST * 0.1)]
        with pytest.raises(ValueError, match="refused"):
            await fail(60, ValueError("refused"))
        assert clock.rests[1:] == [pytest.approx(REST * LONGEST_STEP_SECONDS)]
        with pytest.raises(asyncio.CancelledError):
            await fail(0.1, asyncio.CancelledError())  # the client has gone
        assert len(clock.rests) == 2
    finally:
        current_share.reset(token)


async def test_nothing_rests_outside_a_request(clock: Clock) -> None:
    async with resting_after():
        clock.work(1)
    await give_way()
    assert not others_ask()
    assert clock.rests == []
