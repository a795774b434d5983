"""Freezes a change at a crash point, so that a test can do something else meanwhile."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.crash_points import CrashPoint
from tests.faults.operation_log import Operation
from tests.faults.program import Program

PendingOperation = asyncio.Task[Operation]
StartOperation = Callable[[], Coroutine[Any, Any, Operation]]
PATIENCE_SECONDS = 40
NOT_JUDGED = ("engine_unavailable", "organization_busy")
"""Codes of answers while SpiceDB is slow or has not noticed its broken connections."""


@asynccontextmanager
async def held_at(
    program: Program, point: CrashPoint, ask: StartOperation
) -> AsyncIterator[PendingOperation]:
    """Start an operation, and freeze the program at that point during the block."""
    program.crash_points.arm(point, signal.SIGSTOP)
    try:
        yield await _start_until_frozen(program, ask)
    finally:
        program.crash_points.disarm()
        program.thaw()


async def _start_until_frozen(program: Program, ask: StartOperation) -> PendingOperation:
    """Start the operation until the program freezes in it.

    An attempt that is answered before that was refused and has changed nothing.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        asking = asyncio.create_task(ask())
        while not program.frozen and not asking.done():
            await asyncio.wait({asking}, timeout=0.02)
        if program.frozen:
            return asking
        operation = asking.result()
        assert operation.last.code in NOT_JUDGED, f"{operation}: {operation.last.body}"
        assert time.monotonic() < give_up, f"{operation}: {operation.last.body}"
        await asyncio.sleep(0.1)
