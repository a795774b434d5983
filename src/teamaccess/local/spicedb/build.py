"""Compiling SpiceDB once per user and version, as `python -m teamaccess.local.spicedb.build`."""

import argparse
import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from teamaccess.common.errors import TeamaccessError
from teamaccess.common.progress import Meter
from teamaccess.local.errors import BuildFailed, NoGo
from teamaccess.local.spicedb.binary import (
    cached_binary,
    find_spicedb,
    pinned_go,
    pinned_module,
    pinned_version,
)
from teamaccess.local.spicedb.go import Go, find_go, parse_version

PACKAGE = "github.com/authzed/spicedb/cmd/spicedb"
MINUTES = "some 4 minutes on 2 cores, and 3 GB of disk meanwhile"

console = Console(stderr=True, highlight=False)


def ensure_spicedb() -> Path:
    """A SpiceDB to run; compiles it first where this machine has none.

    Raises NoGo where there is nothing to compile with, BuildFailed where compiling fails.
    """
    return find_spicedb() or _build_once(cached_binary())


def _build_once(binary: Path) -> Path:
    """Compile, unless another process did so while we waited for our turn."""
    command = find_go(parse_version(pinned_go()))
    if command is None:
        raise NoGo(version=pinned_version(), go=pinned_go())
    go = Go(command, binary.parent / "build")
    try:
        with _one_build_at_a_time(binary.parent):
            if not binary.exists():
                _build(go, binary)
    except OSError as error:
        raise _failed(go, str(error)) from error
    return binary


def _build(go: Go, binary: Path) -> None:
    """Fetch, compile, put the program in its place in one step, and leave nothing else."""
    console.print(f"Compiling SpiceDB {pinned_version()}, this once ({MINUTES}).", soft_wrap=True)
    go.folder.mkdir(parents=True, exist_ok=True)
    _log(go).unlink(missing_ok=True)
    fresh = go.folder / "spicedb"
    fetching = Meter("Fetching its modules", "fetched", watched=True)
    packages = _run(go, fetching, "list", "-deps", PACKAGE)
    compiling = Meter("Compiling", "packages", len(packages), watched=True)
    _run(go, compiling, "build", "-v", "-trimpath", "-ldflags=-s -w", f"-o={fresh}", PACKAGE)
    fresh.replace(binary)
    shutil.rmtree(go.folder)
    console.print(f"SpiceDB is built and kept as {binary}", soft_wrap=True)


def _run(go: Go, meter: Meter, *arguments: str) -> list[str]:
    """Run one go command, a line on its stderr being a step; returns the lines of its stdout."""
    answer = go.folder / "answer"
    with (
        _log(go).open("a") as log,
        answer.open("w") as output,
        meter,
        go.start(*arguments, module=pinned_module(), output=output.fileno()) as process,
    ):
        for line in process.stderr or ():
            log.write(line)
            meter.step()
    if process.returncode != 0:
        raise _failed(go, _log(go).read_text().strip().rpartition("\n")[2])
    return answer.read_text().splitlines()


def _failed(go: Go, reason: str) -> BuildFailed:
    return BuildFailed(reason=reason, log=_log(go), version=pinned_version())


def _log(go: Go) -> Path:
    return go.folder / "build.log"


@contextmanager
def _one_build_at_a_time(folder: Path) -> Iterator[None]:
    """One build at a time in a folder; who comes second waits and finds the result."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("SpiceDB is being compiled by another process; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build SpiceDB where it is missing; `--needs-go` only asks whether Go must come first."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--needs-go", action="store_true")
    try:
        if arguments.parse_args().needs_go:
            missing = find_spicedb() is None and find_go(parse_version(pinned_go())) is None
            return 0 if missing else 1
        ensure_spicedb()
    except TeamaccessError as failure:
        console.print(failure.detail, style="red", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
