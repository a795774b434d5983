"""`teamaccess worker`: run the background work."""

import asyncio
import signal

import structlog
import typer

from teamaccess.common import logs, process
from teamaccess.common.configuration.settings import Settings
from teamaccess.service import open_service
from teamaccess.upkeep.worker import run_worker

app = typer.Typer(add_completion=False)

log = structlog.get_logger()


@app.command()
def worker() -> None:
    """Deliver pending changes to SpiceDB, end expired access, and compare SpiceDB with the rows.

    The worker runs until SIGTERM or Ctrl-C. Run at least one. Several can run side by side.
    """
    settings = Settings.discover()
    logs.configure(settings)
    process.run_to_end(_until_stopped(settings))


async def _until_stopped(settings: Settings) -> None:
    async with open_service(settings) as service:
        working = asyncio.create_task(run_worker(service))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        log.info("worker_started")
        try:
            await working
        except asyncio.CancelledError:
            log.info("worker_stopped")
