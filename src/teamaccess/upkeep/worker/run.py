"""Everything that one worker does, side by side."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from teamaccess.common.process import should_continue
from teamaccess.service import Service
from teamaccess.upkeep.worker.reconciler import Reconciler
from teamaccess.upkeep.worker.sweeper import Sweeper
from teamaccess.upkeep.worker.watcher import Watcher

log = structlog.get_logger()

PAUSE_SECONDS = 1.0

Job = Callable[[], Awaitable[None]]


async def work(service: Service) -> None:
    """Work until cancelled. Any number of workers may run side by side."""
    jobs: dict[str, Job] = {
        "relay": service.relay.run,
        "sweeper": Sweeper(service.ledger, service.reads).run,
        "watcher": Watcher(service).run,
        "reconciler": Reconciler(service).run,
    }
    async with asyncio.TaskGroup() as running:
        for name, job in jobs.items():
            running.create_task(_again_and_again(name, job))


async def _again_and_again(name: str, job: Job) -> None:
    """Begin anew after a mistake of ours: it must not end the other jobs, nor this one for ever."""
    while should_continue():
        try:
            await job()
        except Exception:
            log.exception("job_failed", job=name)
        await asyncio.sleep(PAUSE_SECONDS)
