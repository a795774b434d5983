"""SpiceDB's test server as our own child: engines in memory for what was and what would be."""

from pathlib import Path

import grpc

from teamaccess.local.spicedb.server import (
    FAST_RECONNECT,
    QUIET,
    is_serving,
    without_foreign_settings,
)
from teamaccess.local.supervisor import Supervisor

MAX_MEMORY_BYTES = 2 * 1024**3
"""Bytes of memory at which it begins anew: it frees nothing that it was once told."""


class LocalSandbox:
    """One server on 127.0.0.1. It takes any key, so nobody else may reach it."""

    def __init__(self, binary: Path, supervisor: Supervisor, port: int) -> None:
        self.endpoint = f"127.0.0.1:{port}"
        self._binary, self._supervisor = binary, supervisor

    @property
    def pid(self) -> int:
        """The number of the process that runs."""
        return self._child.pid

    def start(self) -> None:
        """Serve, and wait until it answers."""
        self._child = self._supervisor.start(
            "sandbox",
            [
                self._binary,
                "serve-testing",
                f"--grpc-addr={self.endpoint}",
                "--grpc-shutdown-grace-period=1s",
                "--readonly-grpc-enabled=false",
                *QUIET,
            ],
            environment=without_foreign_settings(),
            max_memory=MAX_MEMORY_BYTES,
        )
        self._wait()

    def restart(self) -> None:
        """Forget everything, and wait until it answers again."""
        self._child.restart()
        self._wait()

    def _wait(self) -> None:
        with grpc.insecure_channel(self.endpoint, FAST_RECONNECT) as channel:
            self._supervisor.wait_until(self._child, lambda: is_serving(channel), seconds=60)
