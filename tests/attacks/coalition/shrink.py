"""Finds the fewest steps that show the same violation. Each try uses a new scenario."""

from collections.abc import Callable, Sequence

from tests.attacks.coalition.escalation_checks import Violation
from tests.attacks.coalition.run import Run
from tests.support.deployment import Deployment

MOST_TRIES = 60


async def shrink(
    deployment: Deployment, seed: int, steps: int, say: Callable[[str], None]
) -> list[int]:
    """Leave out ever smaller parts of the steps, and keep each cut that still shows a violation.

    Returns the remaining steps. A step chooses by names and not by indexes, so it sends nearly the same
    request without the others. Steps that depend on the clock or on concurrency may have another
    outcome.
    """
    kept, parts, tries = list(range(steps)), 2, 0
    while len(kept) > 1 and tries < MOST_TRIES:
        size = max(1, len(kept) // parts)
        for at in range(0, len(kept), size):
            tries += 1
            fewer = kept[:at] + kept[at + size :]
            if (reported := await _found(deployment, seed, fewer)) is not None:
                kept, parts = fewer, max(2, parts - 1)
                say(f"{len(kept)} steps show it: {reported[0]}\n{reported[1]}")
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return kept


async def _found(deployment: Deployment, seed: int, steps: Sequence[int]) -> tuple[str, str] | None:
    run = await Run.begin(deployment, seed)
    try:
        await run.take(steps)
    except Violation as broken:
        return run.with_labels(str(broken)), run.report()
    return None
