"""Compile SpiceDB once for each user and version: `python -m teamaccess.local.spicedb.build`."""

import argparse
import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from teamaccess.common.errors import TeamaccessError
from teamaccess.common.formats.streams import harden_streams
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
COST = "about 4 minutes on 2 cores, and 3 GB of disk during the build"

console = Console(stderr=True, highlight=False)


def ensure_spicedb() -> Path:
    """Return a SpiceDB to run. Compile it first if this machine has none.

    Raises NoGo if there is no Go to compile it, BuildFailed if compiling fails, and ProgramMissing.
    """
    return find_spicedb() or _build_once(cached_binary())


def _build_once(binary: Path) -> Path:
    """Compile SpiceDB, unless another process has done so while this one waited for the lock."""
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
    """Download the modules, compile, move the program to its place, and remove everything else."""
    console.print(
        f"Compiling SpiceDB {pinned_version()}. This happens once and takes {COST}.", soft_wrap=True
    )
    go.folder.mkdir(parents=True, exist_ok=True)
    _log(go).unlink(missing_ok=True)
    fresh = go.folder / "spicedb"
    fetching = Meter("Downloading its modules", "downloaded", watched=True)
    packages = _run(go, fetching, "list", "-deps", PACKAGE)
    compiling = Meter("Compiling", "packages", len(packages), watched=True)
    _run(go, compiling, "build", "-v", "-trimpath", "-ldflags=-s -w", f"-o={fresh}", PACKAGE)
    fresh.replace(binary)
    shutil.rmtree(go.folder)
    console.print(f"SpiceDB is built and kept as {binary}", soft_wrap=True)


def _run(go: Go, meter: Meter, *arguments: str) -> list[str]:
    """Run a go command and return the lines of its stdout. Each line on stderr is a step of progress."""
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
    """Let one process at a time build in a folder. A second one waits and finds the result."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("Another process is compiling SpiceDB. Waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build SpiceDB if it is missing. `--needs-go` only says whether Go must be installed first."""
    harden_streams()
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
