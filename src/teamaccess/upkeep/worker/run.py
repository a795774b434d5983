"""Runs the jobs of one worker concurrently."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from teamaccess.common.process import should_continue
from teamaccess.service import Service
from teamaccess.upkeep.worker.mails import MailRecordCleaner
from teamaccess.upkeep.worker.reconciler import Reconciler
from teamaccess.upkeep.worker.sweeper import Sweeper
from teamaccess.upkeep.worker.watcher import Watcher

log = structlog.get_logger()

PAUSE_SECONDS = 1.0

Job = Callable[[], Awaitable[None]]


async def run_worker(service: Service) -> None:
    """Run the jobs until cancelled. Any number of workers may run at the same time."""
    jobs: dict[str, Job] = {
        "relay": service.relay.run,
        "sweeper": Sweeper(service.ledger, service.reads).run,
        "watcher": Watcher(service).run,
        "reconciler": Reconciler(service).run,
        "mail_records": MailRecordCleaner(service).run,
    }
    async with asyncio.TaskGroup() as running:
        for name, job in jobs.items():
            running.create_task(_restart_forever(name, job))


async def _restart_forever(name: str, job: Job) -> None:
    """Restart a job after an unexpected error, which must not end this or the other jobs."""
    while should_continue():
        try:
            await job()
        except Exception:
            log.exception("job_failed", job=name)
        await asyncio.sleep(PAUSE_SECONDS)
