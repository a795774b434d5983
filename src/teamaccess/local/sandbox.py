"""SpiceDB's test server as a child process, for sandboxes of the past and of plans."""

from pathlib import Path

import grpc

from teamaccess.local.spicedb.server import (
    CHANNEL_OPTIONS,
    QUIET,
    is_serving,
    without_foreign_settings,
)
from teamaccess.local.supervisor import Supervisor

MAX_MEMORY_BYTES = 2 * 1024**3
"""The memory in bytes at which the server is restarted. It never frees memory."""


class LocalSandbox:
    """One server on 127.0.0.1. It accepts any key, so no other machine may reach it."""

    def __init__(self, binary: Path, supervisor: Supervisor, port: int) -> None:
        self.endpoint = f"127.0.0.1:{port}"
        self._binary, self._supervisor = binary, supervisor

    @property
    def pid(self) -> int:
        """The id of the running process."""
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
        """Restart the server, which empties it, and wait until it answers."""
        self._child.restart()
        self._wait()

    def _wait(self) -> None:
        with grpc.insecure_channel(self.endpoint, CHANNEL_OPTIONS) as channel:
            self._supervisor.wait_until(self._child, lambda: is_serving(channel), seconds=60)
