"""The servers of one home, which run while the context lasts."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from teamaccess.local.home import Home
from teamaccess.local.postgres.server import SPICEDB, LocalPostgres
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import USERSETS_INDEX, LocalSpiceDB
from teamaccess.local.supervisor import Supervisor


class LocalStack:
    """Locks a home, and stops everything that was started in it when the context ends.

    Entering ends the processes that a killed run left behind. `fresh` also erases the home's data.
    """

    def __init__(self, home: Path, *, fresh: bool = False) -> None:
        self.home = Home(home)
        self.supervisor = Supervisor(self.home)
        self.postgres = LocalPostgres(self.home, self.supervisor)
        self._fresh = fresh
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        self._exits.enter_context(self.home.hold())
        self._exits.callback(self.postgres.remove_sockets)
        self._exits.callback(self.supervisor.stop)
        self.supervisor.end_leftovers()
        if self._fresh:
            self.postgres.end_leftovers()
            self.home.erase()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def start_spicedb(self, database: str = SPICEDB, port: int = 0) -> LocalSpiceDB:
        """Start a SpiceDB that keeps its relationships in `database`, and create that if it is missing.

        Port 0 means any free port. Raises PortTaken, PortRefused, and the errors of `ensure_spicedb`.
        """
        binary = ensure_spicedb()
        self.postgres.create_database(database, owner=SPICEDB)
        spicedb = LocalSpiceDB(
            binary,
            self.supervisor,
            database_url=self.postgres.url(database, SPICEDB),
            key=self.home.secrets().spicedb_preshared_key,
            port=choose_port(port, "SpiceDB", "--spicedb-port"),
        )
        spicedb.migrate()
        self.postgres.psql(USERSETS_INDEX, database)
        spicedb.start(database)
        return spicedb

    def start_sandbox(self) -> LocalSandbox:
        """Start the server for sandboxes, on any free port."""
        port = choose_port(0, "the sandbox", "")
        sandbox = LocalSandbox(ensure_spicedb(), self.supervisor, port)
        sandbox.start()
        return sandbox
