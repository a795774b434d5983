"""Closed loops of workers, and what came of them."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles

from teamaccess.common.progress import Meter

Step = Callable[[], Awaitable[object]]
"""What one worker does again and again."""

ROUNDS = 5
SECONDS = 2.0
"""How long one side of one round lasts."""


class Late(Exception):
    """A step came to an end, but what it was for has not happened yet, or could not."""


class Done(Exception):
    """A worker has nothing left to do."""


@dataclass(frozen=True)
class Run:
    """How long each step took, and all of them together, in seconds."""

    steps: list[float]
    elapsed: float
    late: int
    """How many of the steps came too late."""


@dataclass(frozen=True)
class Figures:
    """What several runs of the same load came to."""

    runs: list[Run]

    @property
    def per_second(self) -> float:
        """The median of the runs."""
        return median(len(run.steps) / run.elapsed for run in self.runs)

    @property
    def late(self) -> str:
        """How many steps of all came too late; nothing where none did."""
        late = sum(run.late for run in self.runs)
        return f"{late} of {sum(len(run.steps) for run in self.runs)}" if late else ""

    @property
    def median_ms(self) -> float:
        """The median of all steps."""
        return 1000 * median(step for run in self.runs for step in run.steps)

    @property
    def p95_ms(self) -> float:
        """What 19 of 20 steps were faster than."""
        steps = [step for run in self.runs for step in run.steps]
        return 1000 * quantiles(steps, n=20, method="inclusive")[-1]


@dataclass(frozen=True)
class Ratio:
    """How much longer one load takes than another, from rounds that did both."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The round in the middle."""
        return median(self.rounds)

    @property
    def spread(self) -> str:
        """The lowest and the highest round."""
        return f"{min(self.rounds):.2f} to {max(self.rounds):.2f}"


def ratio(ours: Figures, bare: Figures, of: Callable[[list[float]], float] = fmean) -> Ratio:
    """Compare the steps of what ran in the same round: their means, unless told otherwise.

    Workers that never pause get the less done the longer their steps take on the average, so for as many
    workers this is also the ratio of throughputs.
    """
    return Ratio(
        [of(one.steps) / of(other.steps) for one, other in zip(ours.runs, bare.runs, strict=True)]
    )


async def drive(workers: Sequence[Step], seconds: float = math.inf) -> Run:
    """Let every worker repeat its step until the time is over, or nothing is left to do.

    What is begun is finished.
    """
    steps: list[float] = []
    late = 0
    began = time.perf_counter()

    async def loop(step: Step) -> None:
        nonlocal late
        now = time.perf_counter()
        while now - began < seconds:
            try:
                await step()
            except Late:
                late += 1
            except Done:
                return
            then, now = now, time.perf_counter()
            steps.append(now - then)

    await asyncio.gather(*(loop(step) for step in workers))
    return Run(steps, time.perf_counter() - began, late)


async def interleave(title: str, *loads: Sequence[Step], rounds: int = ROUNDS) -> list[Figures]:
    """Run the loads in turns, so that whatever else the machine does meets all of them."""
    runs: list[list[Run]] = [[] for _ in loads]
    with Meter(title, "rounds", rounds) as meter:
        for load in loads:
            await drive(load, SECONDS / 4)  # caches, pools and prepared statements
        for _ in range(rounds):
            for load, mine in zip(loads, runs, strict=True):
                mine.append(await drive(load, SECONDS))
            meter.step()
    return [Figures(mine) for mine in runs]
