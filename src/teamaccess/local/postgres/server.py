"""PostgreSQL as a child process, with its data in the home and only a unix socket."""

import os
import secrets
import shutil
import signal
from pathlib import Path
from urllib.parse import quote, urlencode

from teamaccess.local.home import Home
from teamaccess.local.postgres.installation import environment, find_installation, shared_folder
from teamaccess.local.processes import end_process, find_processes
from teamaccess.local.sockets import make_socket_folder, socket_folder
from teamaccess.local.supervisor import Supervisor

SUPERUSER = "postgres"
OWNER = "teamaccess_owner"
"""The role that owns our tables. Migrations run as this role."""
APPLICATION = "teamaccess"
"""The role of the service, which owns nothing. The database has the same name."""
SPICEDB = "spicedb"
"""The name of SpiceDB's role and of its database."""

PORT = "5432"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",  # for the pools of the API and of SpiceDB, and for developers
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
        """Start the server with its data. The first start creates roles and databases."""
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
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown ends sessions and keeps every commit
        )
        self._supervisor.wait_until(child, lambda: _is_ready(data, child.pid), seconds=60)
        self.pid = child.pid
        self._create_roles_and_database()

    def end_leftovers(self) -> None:
        """End the processes that a killed server left running for this home, and remove its locks.

        Every process of the server works in the data folder, even after its main process has died. The
        main process has our socket folder in its arguments, even if the data folder was removed.

        A lock contains only a process id. If another program has that id by now, a new server refuses to
        start, although no server runs here.
        """
        data = self._home.postgres.resolve() / "data"
        for orphan in find_processes("postgres", folder=data, argument=self._sockets_setting):
            end_process(orphan, signal.SIGINT)
        (data / "postmaster.pid").unlink(missing_ok=True)
        (self._sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def remove_sockets(self) -> None:
        """Remove the socket folder. The server must have stopped."""
        shutil.rmtree(self._sockets, ignore_errors=True)

    def url(self, database: str, user: str) -> str:
        """Return a libpq URL that uses the unix socket."""
        return f"postgresql://{quote(user)}@/{quote(database)}?{urlencode({'host': self._sockets})}"

    def create_database(self, name: str, owner: str, template: str = "template0") -> None:
        """Create a database from a template that has no open connections, unless it exists."""
        self.psql(DATABASE.format(name=name, owner=owner, template=template))

    def psql(self, script: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return its output. Raises CommandFailed."""
        options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        where = ("-h", self._sockets, "-p", PORT, "-U", SUPERUSER, "-d", database)
        return self._installation.run("psql", *options, *where, script=script)

    def _create_roles_and_database(self) -> None:
        self.psql("".join(ROLE.format(name=name) for name in (OWNER, APPLICATION, SPICEDB)))
        self.create_database(APPLICATION, owner=OWNER)

    def _options(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        return [part for each in (*settings, self._sockets_setting) for part in ("-c", each)]

    @property
    def _sockets_setting(self) -> str:
        return f"unix_socket_directories={self._sockets}"

    def _folder(self) -> Path:
        """Return HOME/postgres, which for root links to a folder that the unprivileged user can reach."""
        folder, user = self._home.postgres, self._installation.user
        if user is None:
            folder.mkdir(mode=0o700, exist_ok=True)
        elif not folder.exists():
            folder.unlink(missing_ok=True)  # it may be a link whose target is gone
            reachable = shared_folder("data") / secrets.token_hex(8)
            reachable.mkdir(mode=0o700)
            os.chown(reachable, user.pw_uid, user.pw_gid)
            folder.symlink_to(reachable)
        return folder.resolve()

    def _initialize(self, data: Path) -> None:
        """Make the data folder completely or not at all, with the same locale on every machine."""
        fresh = data.with_name(f"fresh-{secrets.token_hex(4)}")
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        self._installation.run(
            "initdb", "-D", fresh, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", *locale
        )
        fresh.rename(data)


def _is_ready(data: Path, pid: int) -> bool:
    """Whether the server with this process id is ready. `pg_ctl` reads the same file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and int(lines[0]) == pid and lines[7].strip() == "ready"
