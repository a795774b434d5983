"""The runtime of every process: a fast event loop, a quiet garbage collector, and cancellation."""

import asyncio
import gc
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    from uvloop import new_event_loop
except ImportError:  # uvloop does not support this Python
    from asyncio import new_event_loop  # type: ignore[assignment]

Result = TypeVar("Result")

COLLECTION_THRESHOLD = 20_000
"""New objects before Python collects the youngest generation. Python's default of 700 starts a collection
during every larger request. Reference counts free nearly all objects at once anyway."""

SWITCH_SECONDS = 0.0002
"""How long a computing thread keeps Python's lock. Threads compute the auditors' answers. With the
default of 5 ms, the event loop would wait for them at every step of another caller's request, and a
change has about a hundred steps."""


def run_to_end(main: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine to its end on an event loop of its own."""
    tune_runtime()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def tune_runtime() -> None:
    """Exempt all present objects from garbage collection, collect rarely, and switch threads often."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(COLLECTION_THRESHOLD, 10, 10)


def should_continue() -> bool:
    """Return whether the running task has not been cancelled.

    Every endless loop asks this. When a cancellation interrupts a query, the database's driver may raise
    an error instead, and a loop that survives outages would take it for an outage.
    """
    task = asyncio.current_task()
    return task is None or not task.cancelling()
