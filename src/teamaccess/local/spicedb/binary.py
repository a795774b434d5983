"""Which SpiceDB the local stack runs, and where it is on this machine."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from platformdirs import user_cache_path

from teamaccess.local.errors import ProgramMissing
from teamaccess.local.spicedb.go import Version, parse_version


def pinned_module() -> Path:
    """The folder of the Go module that pins SpiceDB: the checkout's, else the package's own."""
    here = Path(__file__).parent
    places = (here.parents[3] / "deploy" / "spicedb", here / "module")
    return next(place for place in places if (place / "go.mod").exists())


def pinned_version() -> str:
    """SpiceDB's version in go.mod, such as `v1.56.1`."""
    return _in_go_mod(r"github\.com/authzed/spicedb (v\S+)")


def pinned_go() -> str:
    """The oldest Go that compiles it."""
    return _in_go_mod(r"^go (\S+)$")


def cached_binary() -> Path:
    """Where the SpiceDB built from the pinned module is kept, for every checkout of this user."""
    build = f"{pinned_version()}-{platform.system()}-{platform.machine()}".lower()
    return user_cache_path("teamaccess") / "spicedb" / build / "spicedb"


def find_spicedb() -> Path | None:
    """The SpiceDB to run, unless it has yet to be built.

    TEAMACCESS_SPICEDB_BINARY is taken as it is; one on PATH only if it is not older than the
    pinned one, whose flags and behaviour we rely on. Raises ProgramMissing for a wrong path.
    """
    if configured := os.environ.get("TEAMACCESS_SPICEDB_BINARY"):
        return _configured(Path(configured).expanduser())
    on_path = shutil.which("spicedb")
    if on_path and _version(on_path) >= parse_version(pinned_version()):
        return Path(on_path)
    return cached_binary() if cached_binary().exists() else None


def _configured(binary: Path) -> Path:
    if not os.access(binary, os.X_OK):
        remedy = "TEAMACCESS_SPICEDB_BINARY must name a program, or be unset to have one built"
        raise ProgramMissing(program=binary, remedy=remedy)
    return binary.absolute()


def _version(spicedb: str) -> Version:
    told = subprocess.run([spicedb, "version"], capture_output=True, text=True, check=False)
    return parse_version(told.stdout)


def _in_go_mod(pattern: str) -> str:
    found = re.search(pattern, (pinned_module() / "go.mod").read_text(), re.MULTILINE)
    assert found, f"go.mod says nothing like {pattern}"  # noqa: S101 - our own file
    return found[1]
