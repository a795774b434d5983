"""Find the SpiceDB that the local stack runs, and its pinned version."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from platformdirs import user_cache_path

from teamaccess.local.errors import HomelessUser, ProgramMissing
from teamaccess.local.spicedb.go import Version, parse_version

OTHER_SPICEDB = "name an installed SpiceDB in TEAMACCESS_SPICEDB_BINARY"


def pinned_module() -> Path:
    """Return the folder of the Go module that pins SpiceDB: the checkout's, or else the package's."""
    package = Path(__file__).parent
    folders = (package.parents[3] / "deploy" / "spicedb", package / "module")
    return next(folder for folder in folders if (folder / "go.mod").exists())


def pinned_version() -> str:
    """Return SpiceDB's version in go.mod, such as `v1.57.1`."""
    return _in_go_mod(r"github\.com/authzed/spicedb (v\S+)")


def pinned_go() -> str:
    """Return the oldest version of Go that compiles the pinned SpiceDB."""
    return _in_go_mod(r"^go (\S+)$")


def cached_binary() -> Path:
    """Return the path of the SpiceDB built from the pinned module. This user's checkouts share it.

    Raises HomelessUser.
    """
    build = f"{pinned_version()}-{platform.system()}-{platform.machine()}".lower()
    try:
        cache = user_cache_path("teamaccess")
    except RuntimeError:
        raise HomelessUser(what="The SpiceDB that is built once", cure=OTHER_SPICEDB) from None
    return cache / "spicedb" / build / "spicedb"


def find_spicedb() -> Path | None:
    """Return the SpiceDB to run, or None if it must be built first.

    TEAMACCESS_SPICEDB_BINARY is used in any version. A SpiceDB on PATH is used only if it is at least as
    new as the pinned version, because we rely on that version's flags and behaviour. Raises
    ProgramMissing if TEAMACCESS_SPICEDB_BINARY does not name a program, and HomelessUser.
    """
    if configured := os.environ.get("TEAMACCESS_SPICEDB_BINARY"):
        return _configured(Path(os.path.expanduser(configured)))  # noqa: PTH111 - needs no home folder
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
    answer = subprocess.run([spicedb, "version"], capture_output=True, text=True, check=False)
    return parse_version(answer.stdout)


def _in_go_mod(pattern: str) -> str:
    match = re.search(pattern, (pinned_module() / "go.mod").read_text(), re.MULTILINE)
    assert match, f"go.mod has no line like {pattern}"  # noqa: S101 - our own file
    return match[1]
