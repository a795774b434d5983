"""Where a benchmark runs: everything on this machine, new and empty, each part its own process."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydantic import SecretStr

from teamaccess.common.settings import Settings
from teamaccess.local.dev import DevOptions, run_everything
from teamaccess.local.stack import LocalStack


@dataclass(frozen=True)
class Site:
    """PostgreSQL, SpiceDB and the API, as `teamaccess dev` runs them; the load comes from here."""

    stack: LocalStack
    settings: Settings
    port: int
    """Where the API listens on 127.0.0.1."""
    pids: Mapping[str, int]

    def without_us(self) -> None:
        """End our own processes, so that the load has PostgreSQL and SpiceDB for itself."""
        for name in ("api", "worker"):
            process = psutil.Process(self.pids[name])
            process.terminate()
            process.wait(30)


UNLIMITED = {"TEAMACCESS_REQUESTS_PER_SECOND": "1000000"}
"""A load comes from a few callers, of whom each sends more than a caller may."""


@contextmanager
def open_site(*, limited: bool = False) -> Iterator[Site]:
    """Start everything in a folder of its own, and leave nothing of it behind.

    Callers may send as much as they like, unless the rates that they have by default are measured.
    """
    for name, value in UNLIMITED.items():
        if limited:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    with (
        TemporaryDirectory(prefix="teamaccess-benchmarks-") as folder,
        run_everything(DevOptions(Path(folder) / "home", 0, 0, "fintoc", False)) as (stack, told),
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            # the stack takes both as a wish that somebody waits for, and here nobody does
            signal.signal(number, signal.default_int_handler)
        settings = Settings(
            home=stack.home.path,
            catalog=told["catalog"],
            database_url=told["database_url"],
            spicedb_endpoint=told["spicedb"]["endpoint"],
            spicedb_preshared_key=SecretStr(told["spicedb"]["preshared_key"]),
            sandbox_endpoint=told["sandbox"]["endpoint"],
            secret_key=SecretStr(stack.home.secrets().secret_key),
            public_url=told["api"],
        )
        yield Site(stack, settings, int(told["api"].rpartition(":")[2]), told["pids"])
        stack.supervisor.stop()
        stack.home.erase()
