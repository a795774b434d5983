"""Closed loops of workers, and their times."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles

from teamaccess.common.progress import Meter

Step = Callable[[], Awaitable[object]]
"""The step that one worker repeats."""

ROUNDS = 5
SECONDS = 2.0
"""The length of one side's turn in a round."""


class NotEnforcedYet(Exception):
    """A step ended, but its change is not in force yet or could not be made."""


class Done(Exception):
    """A worker has nothing left to do."""


@dataclass(frozen=True)
class Run:
    """How long each step took, and all of them together, in seconds."""

    steps: list[float]
    elapsed: float
    late: int
    """The number of steps that ended with NotEnforcedYet."""


@dataclass(frozen=True)
class Figures:
    """The figures of several runs of the same load."""

    runs: list[Run]

    @property
    def per_second(self) -> float:
        """Steps per second: the median of the runs."""
        return median(len(run.steps) / run.elapsed for run in self.runs)

    @property
    def late(self) -> str:
        """The number of late steps of all steps; empty without late steps."""
        late = sum(run.late for run in self.runs)
        return f"{late} of {sum(len(run.steps) for run in self.runs)}" if late else ""

    @property
    def median_ms(self) -> float:
        """The median time of all steps."""
        return 1000 * median(step for run in self.runs for step in run.steps)

    @property
    def p95_ms(self) -> float:
        """The time that 19 of 20 steps stay below."""
        steps = [step for run in self.runs for step in run.steps]
        return 1000 * quantiles(steps, n=20, method="inclusive")[-1]


@dataclass(frozen=True)
class Ratio:
    """How much longer one load takes than another, by rounds."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def spread(self) -> str:
        """The lowest and the highest round, as text."""
        return f"{min(self.rounds):.2f} to {max(self.rounds):.2f}"


def ratio(ours: Figures, bare: Figures, of: Callable[[list[float]], float] = fmean) -> Ratio:
    """Compare the steps of each round, by their mean or by another statistic `of`.

    Workers never pause. So with equally many workers the ratio of means is also the ratio of throughputs.
    """
    return Ratio(
        [of(one.steps) / of(other.steps) for one, other in zip(ours.runs, bare.runs, strict=True)]
    )


async def seconds_of(work: Awaitable[None]) -> float:
    """Return how many seconds the work takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def drive(workers: Sequence[Step], seconds: float = math.inf) -> Run:
    """Let every worker repeat its step until the time is over or the step raises Done.

    A step that was started is finished.
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
            except NotEnforcedYet:
                late += 1
            except Done:
                return
            then, now = now, time.perf_counter()
            steps.append(now - then)

    await asyncio.gather(*(loop(step) for step in workers))
    return Run(steps, time.perf_counter() - began, late)


async def interleave(title: str, *loads: Sequence[Step], rounds: int = ROUNDS) -> list[Figures]:
    """Run the loads in turns, so that other work on the machine affects all of them."""
    runs: list[list[Run]] = [[] for _ in loads]
    with Meter(title, "rounds", rounds) as meter:
        for load in loads:
            await drive(load, SECONDS / 4)  # caches, pools and prepared statements
        for _ in range(rounds):
            for load, runs_of_load in zip(loads, runs, strict=True):
                runs_of_load.append(await drive(load, SECONDS))
            meter.step()
    return [Figures(runs_of_load) for runs_of_load in runs]
