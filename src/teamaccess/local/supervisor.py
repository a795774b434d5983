"""Children with their logs: started in order, watched, stopped in the opposite order."""

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
from teamaccess.local.processes import end_remembered, memory, remember, stop_process

LAST_LINES = 15


class StopRequested(Exception):
    """Somebody asked for the end while something was being started."""


class RunAs(TypedDict, total=False):
    """How subprocess is told to start a program as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def as_user(user: struct_passwd | None) -> RunAs:
    """Arguments of subprocess that run a program as that user; none for our own."""
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
        largest: int | None,
    ) -> None:
        self.name = name
        self._launch, self._log, self._note = launch, log, note
        self._stop_signal, self._largest = stop_signal, largest
        self._begin()

    @property
    def pid(self) -> int:
        """The number of the process that runs."""
        return self._process.pid

    def _begin(self) -> None:
        self._log_before = self._log.stat().st_size if self._log.exists() else 0
        self._process = self._launch()
        remember(self._note, self.pid, self._stop_signal)

    def keep_small(self) -> None:
        """Start it anew where it has come to hold more memory than it may."""
        if self._largest is not None and memory(self.pid) > self._largest:
            self.begin_anew()

    def begin_anew(self) -> None:
        """Stop it, and start it as it was started before."""
        self.stop()
        self._begin()

    def ensure_running(self) -> None:
        """Raises ProgramDied, with what it said last, when it does not run any more."""
        if self._process.poll() is not None:
            raise ProgramDied(
                program=self.name, outcome=self._outcome, log=self._log, tail=self._last_lines
            )

    def stop(self) -> None:
        """Ask it to end, wait, and insist."""
        if self._process.poll() is None:
            stop_process(psutil.Process(self.pid), self._stop_signal)
            self._process.wait()
        self._note.unlink(missing_ok=True)

    def not_ready(self, seconds: float) -> NotReady:
        """What to raise when it has not become ready in that time."""
        return NotReady(program=self.name, seconds=seconds, log=self._log, tail=self._last_lines)

    @property
    def _last_lines(self) -> str:
        """What it has said since this start; before that the log is another one's."""
        said = self._log.read_bytes()[self._log_before :].decode(errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in said[-LAST_LINES:] or ["(it said nothing)"])

    @property
    def _outcome(self) -> str:
        code = self._process.returncode
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class Supervisor:
    """The children of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._children: list[Child] = []
        self._stop_requested = threading.Event()

    def end_leftovers(self) -> None:
        """End what an earlier run in this home left behind when it was killed."""
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
        largest: int | None = None,
    ) -> Child:
        """Start a program in a session of its own: Ctrl-C reaches us, and we end it in its turn.

        While it is watched it is started anew where it holds more than `largest` bytes of memory.
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
        child = Child(name, launch, log, note, stop_signal, largest)
        self._children.append(child)
        return child

    def wait_until(self, child: Child, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a child is ready for work.

        Raises ProgramDied or NotReady where it never is, StopRequested where nobody waits any more.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            child.ensure_running()
            if self._stop_requested.wait(0.05):
                raise StopRequested
            if time.monotonic() > deadline:
                raise child.not_ready(seconds)

    def watch(self) -> None:
        """Return when a stop is requested; raises ProgramDied when a child ends by itself."""
        while not self._stop_requested.wait(0.2):
            for child in self._children:
                child.ensure_running()
                child.keep_small()

    def stop(self) -> None:
        """Stop the children, the last one started first."""
        while self._children:
            self._children.pop().stop()

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Take Ctrl-C, SIGTERM and a closed terminal as the request to stop, unless ignored."""

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
