"""`teamaccess worker`: what goes on without anybody asking."""

import asyncio
import signal

import structlog
import typer

from teamaccess.common import logs, process
from teamaccess.common.settings import Settings
from teamaccess.service import open_service
from teamaccess.upkeep.worker import run_worker

app = typer.Typer(add_completion=False)

log = structlog.get_logger()


@app.command()
def worker() -> None:
    """Bring in what requests left behind, and end what has ended, until SIGTERM or Ctrl-C.

    Any number of workers may run side by side, and at least one should.
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
