"""Telling our processes from others, also after a crash and when their numbers are used again."""

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

CLOCK_SECONDS = 1.0
"""How far two readings of one process's start may lie apart."""


def remember(file: Path, pid: int, stop_signal: signal.Signals) -> None:
    """Note a child of ours, so that a later run finds it again if we die before it does."""
    started = psutil.Process(pid).create_time()
    file.write_text(json.dumps({"pid": pid, "started": started, "signal": stop_signal}))


def end_remembered(file: Path) -> None:
    """End the process that a file notes, if it still runs, and forget it.

    A process that merely has the number by now began at another time, and is left alone.
    """
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        note = json.loads(file.read_text())
        process = psutil.Process(note["pid"])
        if abs(process.create_time() - note["started"]) < CLOCK_SECONDS:
            stop_process(process, signal.Signals(note["signal"]))
    file.unlink(missing_ok=True)


def running(name: str, *, folder: Path, argument: str) -> list[psutil.Process]:
    """The programs of that name which work in `folder` or were started with `argument`."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd", "cmdline"])
        if process.info["name"] == name
        and (process.info["cwd"] == str(folder) or argument in (process.info["cmdline"] or ()))
    ]


def stop_process(
    process: psutil.Process, stop_signal: signal.Signals, patience: float = 15
) -> None:
    """Ask a process to end, and kill it if it has not done so after `patience` seconds."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        _wait(process, patience)
        process.kill()
        _wait(process, patience)


def memory(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 for one that has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _wait(process: psutil.Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while runs(process) and time.monotonic() < deadline:
        time.sleep(0.02)


def runs(process: psutil.Process) -> bool:
    """Whether it still does anything; one that has ended may wait for its parent to notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
