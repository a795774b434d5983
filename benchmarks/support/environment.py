"""The environment of a benchmark: a new, empty stack on this machine, each part its own process."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydantic import SecretStr

from teamaccess.common.configuration.settings import Settings
from teamaccess.local.dev import DevOptions, run_everything
from teamaccess.local.stack import LocalStack


@dataclass(frozen=True)
class Environment:
    """PostgreSQL, SpiceDB and the API, as `teamaccess dev` runs them. This process sends the load."""

    stack: LocalStack
    settings: Settings
    port: int
    """The API's port on 127.0.0.1."""
    pids: Mapping[str, int]

    def stop_api_and_worker(self) -> None:
        """Stop the API and the worker, so that the load has PostgreSQL and SpiceDB for itself."""
        for name in ("api", "worker"):
            process = psutil.Process(self.pids[name])
            process.terminate()
            process.wait(30)


UNLIMITED = {"TEAMACCESS_REQUESTS_PER_SECOND": "1000000"}
"""The load comes from a few callers, and each sends more than the default limits allow."""


@contextmanager
def open_environment(*, limited: bool = False) -> Iterator[Environment]:
    """Start everything in a temporary folder, and remove it afterwards.

    `limited` keeps the default rate limits. Otherwise callers are not limited.
    """
    for name, value in UNLIMITED.items():
        if limited:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    with (
        TemporaryDirectory(prefix="teamaccess-benchmarks-") as folder,
        run_everything(DevOptions(Path(folder) / "home", 0, 0, "fintoc", False)) as (stack, facts),
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            # the stack catches both signals to stop in order; here they should interrupt at once
            signal.signal(number, signal.default_int_handler)
        settings = Settings(
            home=stack.home.path,
            catalog=facts["catalog"],
            database_url=facts["database_url"],
            spicedb_endpoint=facts["spicedb"]["endpoint"],
            spicedb_preshared_key=SecretStr(facts["spicedb"]["preshared_key"]),
            sandbox_endpoint=facts["sandbox"]["endpoint"],
            secret_key=SecretStr(stack.home.secrets().secret_key),
            public_url=facts["api"],
        )
        yield Environment(stack, settings, int(facts["api"].rpartition(":")[2]), facts["pids"])
        stack.supervisor.stop()
        stack.home.erase()
