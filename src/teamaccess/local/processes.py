"""Record our processes, to recognize them after a crash even if their ids are used again."""

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

CLOCK_TOLERANCE_SECONDS = 1.0
"""How much two readings of one process's start time may differ."""


def remember(file: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Record a child process, so that a later run can end it if we die first."""
    started = psutil.Process(pid).create_time()
    file.write_text(json.dumps({"pid": pid, "started": started, "signal": stop_signal}))


def end_remembered(file: Path) -> None:
    """End the process that a file records, if it still runs, and delete the file.

    Another process with the same id has another start time, and is left alone.
    """
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        note = json.loads(file.read_text())
        process = psutil.Process(note["pid"])
        if abs(process.create_time() - note["started"]) < CLOCK_TOLERANCE_SECONDS:
            end_process(process, signal.Signals(note["signal"]))
    file.unlink(missing_ok=True)


def find_processes(name: str, *, folder: Path, argument: str) -> list[psutil.Process]:
    """Return the processes of a program that work in `folder` or were started with `argument`."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd", "cmdline"])
        if process.info["name"] == name
        and (process.info["cwd"] == str(folder) or argument in (process.info["cmdline"] or ()))
    ]


def end_process(process: psutil.Process, stop_signal: signal.Signals, patience: float = 15) -> None:
    """Ask a process to end, and kill it if it still runs after `patience` seconds."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        _wait(process, patience)
        process.kill()
        _wait(process, patience)


def memory(pid: int) -> int:
    """Return how many bytes of memory a process uses, or 0 if it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _wait(process: psutil.Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.02)


def is_running(process: psutil.Process) -> bool:
    """Whether a process runs. A zombie does not: it has ended, and its parent has not noticed yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
