"""PostgreSQL as our own child: its data in the home, reached over a unix socket alone."""

import os
import secrets
import shutil
import signal
from pathlib import Path
from urllib.parse import quote, urlencode

from teamaccess.local.home import Home
from teamaccess.local.postgres.installation import environment, find_installation, shared_folder
from teamaccess.local.processes import running, stop_process
from teamaccess.local.sockets import make_socket_folder, socket_folder
from teamaccess.local.supervisor import Supervisor

SUPERUSER = "postgres"
OWNER = "teamaccess_owner"
"""The role that owns our tables; migrations run as it."""
APPLICATION = "teamaccess"
"""The role of the service, which owns nothing; also the name of the database."""
SPICEDB = "spicedb"
"""The role and the database of SpiceDB."""

PORT = "5432"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",  # the pools of an API, of SpiceDB, and of whoever looks
    "port": PORT,
    "unix_socket_permissions": "0700",
    "track_commit_timestamp": "on",  # SpiceDB's Watch reads it
    "timezone": "UTC",
    "log_timezone": "UTC",
}
ROLE = """
SELECT 'CREATE ROLE "{name}" LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec
"""
DATABASE = """
SELECT 'CREATE DATABASE "{name}" OWNER "{owner}" TEMPLATE "{template}"'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec
"""


class LocalPostgres:
    """The PostgreSQL server of one home."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self._home, self._supervisor = home, supervisor
        self._installation = find_installation()
        self._sockets = socket_folder(home.path)

    def start(self) -> None:
        """Bring the server up with all that it kept; a first start makes roles and databases."""
        data = self._folder() / "data"
        make_socket_folder(self._sockets, self._installation.user)
        self.end_leftovers()
        if not data.exists():
            self._initialize(data)
        child = self._supervisor.start(
            "postgres",
            [self._installation.programs / "postgres", "-D", data, *self._options()],
            environment=environment(),
            folder=data,
            user=self._installation.user,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, keeps every commit
        )
        self._supervisor.wait_until(child, lambda: _accepts(data, child.pid), seconds=60)
        self.pid = child.pid
        self._provide()

    def end_leftovers(self) -> None:
        """End what a killed server left running for this home, and lift its locks.

        Every process of a server works in the data folder, also those that outlived the first one,
        and the first one names our sockets even if the data was removed under it. The locks name a
        process by number alone, which may be anybody's by now: the server would then refuse to
        start, although none runs here.
        """
        data = self._home.postgres.resolve() / "data"
        for orphan in running("postgres", folder=data, argument=self._sockets_setting):
            stop_process(orphan, signal.SIGINT)
        (data / "postmaster.pid").unlink(missing_ok=True)
        (self._sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def remove_sockets(self) -> None:
        """Leave nothing in the temporary folder; for when the server is down."""
        shutil.rmtree(self._sockets, ignore_errors=True)

    def url(self, database: str, user: str) -> str:
        """A libpq URL over the unix socket."""
        return f"postgresql://{quote(user)}@/{quote(database)}?{urlencode({'host': self._sockets})}"

    def create_database(self, name: str, owner: str, template: str = "template0") -> None:
        """Make a database, empty or a copy of one that nobody uses, unless it is there already."""
        self.psql(DATABASE.format(name=name, owner=owner, template=template))

    def psql(self, script: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return what it printed; raises CommandFailed."""
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        where = ("-h", self._sockets, "-p", PORT, "-U", SUPERUSER, "-d", database)
        return self._installation.run("psql", *options, *where, script=script)

    def _provide(self) -> None:
        self.psql("".join(ROLE.format(name=name) for name in (OWNER, APPLICATION, SPICEDB)))
        self.create_database(APPLICATION, owner=OWNER)

    def _options(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        return [part for each in (*settings, self._sockets_setting) for part in ("-c", each)]

    @property
    def _sockets_setting(self) -> str:
        return f"unix_socket_directories={self._sockets}"

    def _folder(self) -> Path:
        """HOME/postgres; as root a link to a folder that the unprivileged user can reach."""
        folder, user = self._home.postgres, self._installation.user
        if user is None:
            folder.mkdir(mode=0o700, exist_ok=True)
        elif not folder.exists():
            folder.unlink(missing_ok=True)  # a link whose target is gone
            reachable = shared_folder("data") / secrets.token_hex(8)
            reachable.mkdir(mode=0o700)
            os.chown(reachable, user.pw_uid, user.pw_gid)
            folder.symlink_to(reachable)
        return folder.resolve()

    def _initialize(self, data: Path) -> None:
        """Make the data folder, whole or not at all; in one locale, whatever this machine's is."""
        fresh = data.with_name(f"fresh-{secrets.token_hex(4)}")
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        self._installation.run(
            "initdb", "-D", fresh, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", *locale
        )
        fresh.rename(data)


def _accepts(data: Path, pid: int) -> bool:
    """Whether the server with that number says it is ready, as pg_ctl reads it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and int(lines[0]) == pid and lines[7].strip() == "ready"
