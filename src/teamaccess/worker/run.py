"""Everything that one worker does, side by side."""

import asyncio

from teamaccess.service import Service
from teamaccess.worker.sweeper import Sweeper


async def work(service: Service) -> None:
    """Work until cancelled. Any number of workers may run side by side."""
    async with asyncio.TaskGroup() as jobs:
        jobs.create_task(service.relay.run())
        jobs.create_task(Sweeper(service.ledger, service.reads).run())
