"""A change that is held at one of its moments, so that something can happen just then."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.points import Point
from tests.faults.program import Program
from tests.faults.record import Deed

Asking = asyncio.Task[Deed]


@asynccontextmanager
async def held(
    program: Program, point: Point, asking: Coroutine[Any, Any, Deed]
) -> AsyncIterator[Asking]:
    """Ask, and freeze the program at that point while the block lasts."""
    program.points.arm(point, signal.SIGSTOP)
    task = asyncio.create_task(asking)
    try:
        await program.stands_still()
        yield task
    finally:
        program.points.disarm()
        program.thaw()
