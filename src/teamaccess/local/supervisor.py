"""Start child processes with their logs, watch them, and stop them in the opposite order."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pwd import struct_passwd
from types import FrameType
from typing import TypedDict

import psutil

from teamaccess.local.errors import NotReady, ProgramDied
from teamaccess.local.home import Home
from teamaccess.local.processes import end_process, end_remembered, memory, remember

LAST_LINES = 15


class StopRequested(Exception):
    """A signal asked to stop while a program was starting."""


class RunAs(TypedDict, total=False):
    """The arguments of subprocess that run a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(user: struct_passwd | None) -> RunAs:
    """Return the arguments of subprocess that run a program as `user`, or none for our own user."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


Launch = Callable[[], subprocess.Popen[bytes]]


class Child:
    """A program that we started."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        log: Path,
        note: Path,
        stop_signal: signal.Signals,
        max_memory: int | None,
    ) -> None:
        self.name = name
        self._launch, self._log, self._note = launch, log, note
        self._stop_signal, self._max_memory = stop_signal, max_memory
        self._launch_process()

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._process.pid

    def _launch_process(self) -> None:
        self._log_before = self._log.stat().st_size if self._log.exists() else 0
        self._process = self._launch()
        remember(self._note, self.pid, self._stop_signal)

    def restart_if_too_large(self) -> None:
        """Restart the program if it uses more memory than it may."""
        if self._max_memory is not None and memory(self.pid) > self._max_memory:
            self.restart()

    def restart(self) -> None:
        """Stop the program, and start it again in the same way."""
        self.stop()
        self._launch_process()

    def ensure_running(self) -> None:
        """Raise ProgramDied, with the last lines of its log, if the program has ended."""
        if self._process.poll() is not None:
            raise ProgramDied(
                program=self.name, outcome=self._outcome, log=self._log, tail=self._last_lines
            )

    def stop(self) -> None:
        """Ask the program to end, wait, and kill it if it still runs."""
        if self._process.poll() is None:
            end_process(psutil.Process(self.pid), self._stop_signal)
            self._process.wait()
        self._note.unlink(missing_ok=True)

    def not_ready(self, seconds: float) -> NotReady:
        """Return the error for a program that is not ready after these seconds."""
        return NotReady(program=self.name, seconds=seconds, log=self._log, tail=self._last_lines)

    @property
    def _last_lines(self) -> str:
        """The last lines of the log since this start. Earlier lines belong to an earlier process."""
        lines = self._log.read_bytes()[self._log_before :].decode(errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in lines[-LAST_LINES:] or ["(it printed nothing)"])

    @property
    def _outcome(self) -> str:
        code = self._process.returncode
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class Supervisor:
    """The child processes of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._children: list[Child] = []
        self._stop_requested = threading.Event()

    def end_leftovers(self) -> None:
        """End the processes that an earlier run in this home left behind when it was killed."""
        newest_first = sorted(
            self._home.processes.glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True
        )
        for note in newest_first:
            end_remembered(note)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        user: struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        max_memory: int | None = None,
    ) -> Child:
        """Start a program in its own session, so Ctrl-C reaches only us, and we stop it in order.

        `watch` restarts the program if it uses more than `max_memory` bytes.
        """
        log = self._home.logs / f"{name}.log"

        def launch() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    command,
                    env=environment,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    **as_user(user),
                )

        note = self._home.processes / f"{name}.json"
        child = Child(name, launch, log, note, stop_signal, max_memory)
        self._children.append(child)
        return child

    def wait_until(self, child: Child, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a child is ready for work.

        Raises ProgramDied if it ends, NotReady after `seconds`, and StopRequested if a signal asks to
        stop.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            child.ensure_running()
            if self._stop_requested.wait(0.05):
                raise StopRequested
            if time.monotonic() > deadline:
                raise child.not_ready(seconds)

    def watch(self) -> None:
        """Wait until a stop is requested. Raises ProgramDied if a child ends by itself."""
        while not self._stop_requested.wait(0.2):
            for child in self._children:
                child.ensure_running()
                child.restart_if_too_large()

    def stop(self) -> None:
        """Stop the children, starting with the last one that was started."""
        while self._children:
            self._children.pop().stop()

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Treat Ctrl-C, SIGTERM and a closed terminal as a request to stop, unless they are ignored."""

        def request(number: int, frame: FrameType | None) -> None:
            self._stop_requested.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        watched = [each for each in numbers if signal.getsignal(each) is not signal.SIG_IGN]
        before = {number: signal.signal(number, request) for number in watched}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
