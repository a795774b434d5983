"""Everything that one worker does, side by side."""

import asyncio

from teamaccess.service import Service
from teamaccess.worker.reconciler import Reconciler
from teamaccess.worker.sweeper import Sweeper
from teamaccess.worker.watcher import Watcher


async def work(service: Service) -> None:
    """Work until cancelled. Any number of workers may run side by side."""
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(service.relay.run())
        jobs.create_task(Reconciler(service).run())
        jobs.create_task(Watcher(service).run())
        jobs.create_task(Sweeper(service.ledger, service.reads).run())
