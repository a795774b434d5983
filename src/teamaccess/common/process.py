"""How every process of ours runs: on a fast event loop, with little time for Python's garbage."""

import asyncio
import gc
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    from uvloop import new_event_loop
except ImportError:  # there is none for this Python
    from asyncio import new_event_loop  # type: ignore[assignment]

Result = TypeVar("Result")

OBJECTS = 20_000
"""Made since the last look at the youngest ones; Python itself looks after 700, in the midst of every
larger request. Reference counts free nearly all of them at once in any case."""

SWITCH_SECONDS = 0.0002
"""How long a thread that computes keeps Python's lock. Auditors' answers are put together in threads, and
the event loop must not wait the usual 5 ms for them at every step of somebody else's request. A change
has about a hundred steps."""


def run_to_end(main: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end, on a loop of its own."""
    collect_seldom()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def collect_seldom() -> None:
    """Look for garbage only among what is made from now on, and seldom; switch threads often."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(OBJECTS, 10, 10)
