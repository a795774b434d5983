"""The folder of one local stack: its data, logs, mail and secrets."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from teamaccess.local.errors import AlreadyRunning, HomelessUser, HomeNotOurs

DAMAGED_SECRETS = "its secrets.json is damaged. Restore it, or erase the home with --fresh"


@dataclass(frozen=True)
class Secrets:
    """The secrets of a home. They are made once, so tokens and hashed addresses survive a restart."""

    secret_key: str = field(repr=False)
    spicedb_preshared_key: str = field(repr=False)


class Home:
    """A folder that only its owner can read. One stack at a time uses it.

    Raises HomelessUser for a folder under `~` if the process's user has no home folder.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.path = path.expanduser().resolve()
        except RuntimeError:
            what, cure = f"The home of the stack, {path},", "choose another --home"
            raise HomelessUser(what=what, cure=cure) from None
        self.logs = self.path / "logs"
        self.mail = self.path / "mail"
        self.processes = self.path / "processes"
        self.postgres = self.path / "postgres"
        self.catalog = self.path / "catalog"
        self.dev_json = self.path / "dev.json"
        self._lock = self.path / "teamaccess.lock"
        self._secrets = self.path / "secrets.json"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the home against other stacks. The lock ends with this process, however it ends.

        Raises AlreadyRunning if another stack has the lock, and HomeNotOurs if the folder contains other
        programs' data.
        """
        self._make_folders()
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(home=self.path, pid=self._lock.read_text()) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def secrets(self) -> Secrets:
        """Return this home's secrets. The first call makes them. Raises HomeNotOurs."""
        if not self._secrets.exists():
            made = Secrets(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
            write_private(self._secrets, json.dumps(asdict(made), indent=2))
        try:
            return Secrets(**json.loads(self._secrets.read_text(encoding="utf-8")))
        except (ValueError, TypeError):  # not JSON, or not these two secrets
            raise HomeNotOurs(path=self.path, reason=DAMAGED_SECRETS) from None

    def erase(self) -> None:
        """Remove all data of this home. The caller must hold its lock."""
        if self.postgres.is_symlink():
            shutil.rmtree(self.postgres.resolve(), ignore_errors=True)
            self.postgres.unlink()
        for entry in (self.postgres, self.mail, self.logs, self.processes):
            shutil.rmtree(entry, ignore_errors=True)
        for file in (self._secrets, self.catalog, self.dev_json):
            file.unlink(missing_ok=True)
        self._make_folders()

    def _make_folders(self) -> None:
        """Make the home's folders.

        Raises HomeNotOurs if the folder contains other programs' data: `erase` could remove them.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not self._lock.exists():
                raise HomeNotOurs(path=self.path, reason="other things are kept there")
            self._lock.touch()
            for folder in (self.logs, self.mail, self.processes):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeNotOurs(path=self.path, reason=error.strerror) from None


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)
