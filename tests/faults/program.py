"""A process of teamaccess that can be killed, frozen, disconnected, or crashed at a point."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import psutil

from teamaccess.common.configuration.settings import PREFIX
from teamaccess.local.dev import NOT_OURS
from teamaccess.local.errors import ProgramDied
from teamaccess.local.processes import is_running
from teamaccess.local.supervisor import Child, Supervisor
from tests.faults.crash_points import CrashPoint, CrashPoints
from tests.support.proxy import Proxy
from tests.support.spicedb_proxy import wait_until

Ready = Callable[[], Awaitable[bool]]


class Program:
    """One command of teamaccess, with its own proxies to PostgreSQL and SpiceDB."""

    def __init__(
        self,
        supervisor: Supervisor,
        command: tuple[str, ...],
        folder: Path,
        log: Path,
        settings: Mapping[str, str],
        *,
        database: Proxy,
        spicedb: Proxy,
        ready: Ready,
    ) -> None:
        self.name = folder.name
        self.database, self.spicedb = database, spicedb
        self.crash_points = CrashPoints(folder)
        self._supervisor, self._ready = supervisor, ready
        self._command: list[str | Path] = [
            sys.executable,
            "-m",
            "tests.faults.run_with_crash_points",
            folder,
            *command,
        ]
        others = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        ours = {PREFIX + name.upper(): value for name, value in settings.items()}
        self._environment = others | ours
        self.deaths: list[str] = []
        """Deaths that no test caused, with the end of the log."""
        self._log, self._log_offset = log, 0
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it with nothing armed and wait until it is ready. Does nothing if it runs."""
        if self.runs:
            return
        self.crash_points.disarm()
        if self._child is not None:
            self._record_death(self._child)
        self._child = self._supervisor.start(
            self.name, self._command, environment=self._environment
        )
        await wait_until(self._is_ready)

    def _record_death(self, child: Child) -> None:
        try:
            child.ensure_running()
        except ProgramDied as death:
            if "killed by SIGKILL" not in str(death):
                self.deaths.append(str(death))
        child.stop()

    async def stop(self) -> None:
        """Stop it with SIGTERM, as an operator does."""
        self.thaw()
        self._signal(signal.SIGTERM)
        await self.wait_until_dead()

    async def kill(self) -> None:
        """Kill it."""
        self._signal(signal.SIGKILL)
        await self.wait_until_dead()

    async def cut_off(self) -> None:
        """Cut its connections to SpiceDB and PostgreSQL."""
        await self.spicedb.refuse()
        await self.database.refuse()

    def freeze(self) -> None:
        """Suspend the process. It keeps its locks and connections."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        self._signal(signal.SIGCONT)

    def new_log_lines(self) -> list[str]:
        """The lines that it has logged since the last call."""
        with self._log.open(errors="replace") as log:
            log.seek(self._log_offset)
            lines = log.read().splitlines()
            self._log_offset = log.tell()
        return lines

    @property
    def runs(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and is_running(self._process)

    @property
    def frozen(self) -> bool:
        """Whether it is suspended."""
        return self.runs and self._process is not None and self._process.status() == "stopped"

    async def wait_until_dead(self, seconds: float = 60) -> None:
        """Wait until the process has ended."""
        await wait_until(self._is_dead, seconds)

    async def wait_until_frozen(self, seconds: float = 60) -> None:
        """Wait until it is frozen."""
        await wait_until(self._is_frozen, seconds)

    async def wait_until_passed(self, point: CrashPoint, seconds: float = 60) -> None:
        """Wait until a change has passed the point."""
        await wait_until(lambda: _true(not self.crash_points.armed(point)), seconds)

    @property
    def _process(self) -> psutil.Process | None:
        try:
            return psutil.Process(self._child.pid) if self._child is not None else None
        except psutil.NoSuchProcess:
            return None

    async def _is_ready(self) -> bool:
        assert self._child is not None
        self._child.ensure_running()
        return await self._ready()

    async def _is_dead(self) -> bool:
        return not self.runs

    async def _is_frozen(self) -> bool:
        return self.frozen

    def _signal(self, number: signal.Signals) -> None:
        if self.runs and self._process is not None:
            self._process.send_signal(number)


async def _true(holds: bool) -> bool:
    return holds
