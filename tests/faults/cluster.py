"""teamaccess as it runs in production: each part is a process, and each can fail."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from grpc.aio import insecure_channel
from pydantic import SecretStr

from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.local.postgres.server import APPLICATION, OWNER, SPICEDB
from teamaccess.local.processes import end_process
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import LocalSpiceDB
from teamaccess.local.stack import LocalStack
from teamaccess.service import open_service
from teamaccess.storage.migrations import upgrade
from tests.faults.program import Program, Ready
from tests.faults.spicedb_client import SpiceDBClient
from tests.support.deployment import OPERATOR, Deployment
from tests.support.proxy import Proxy
from tests.support.spicedb_proxy import SpiceDBProxy, wait_until

APIS = ("north", "south")
WORKER = "worker"
QUICK = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
SOCKET = ".s.PGSQL.5432"


AT_ONCE, ROUNDS = 32, 3
"""Concurrent questions, and rounds of them. They use each of SpiceDB's connections several times."""


class Cluster:
    """PostgreSQL, SpiceDB, two APIs and a worker; between them lie proxies, and a link for errors."""

    def __init__(self, stack: LocalStack, spicedb: LocalSpiceDB, sockets: Path) -> None:
        self.stack, self.postgres, self.spicedb = stack, stack.postgres, spicedb
        self.programs: dict[str, Program] = {}
        self.apis: dict[str, httpx.AsyncClient] = {}
        """The client of each API, by name."""
        self.error_proxy: SpiceDBProxy
        """A proxy to SpiceDB that answers errors, for programs whose own proxy leads to it."""
        self.spicedb_client: SpiceDBClient
        self._sockets = sockets
        self._settings = {
            "home": str(stack.home.path),
            "catalog": "fintoc",
            "spicedb_preshared_key": spicedb.key,
            "secret_key": stack.home.secrets().secret_key,
        }

    @property
    def settings(self) -> Settings:
        """Those of a process that no fault touches."""
        return Settings(
            home=self.stack.home.path,
            catalog=self._settings["catalog"],
            database_url=self.postgres.url(APPLICATION, APPLICATION),
            spicedb_endpoint=self.spicedb.endpoint,
            spicedb_preshared_key=SecretStr(self._settings["spicedb_preshared_key"]),
            secret_key=SecretStr(self._settings["secret_key"]),
        )

    @asynccontextmanager
    async def deployment(self, api: str = APIS[0]) -> AsyncIterator[Deployment]:
        """A deployment built from the servers alone: an operator's service and one of the APIs."""
        async with (
            open_service(self.settings) as service,
            insecure_channel(self.spicedb.endpoint) as channel,
        ):
            owner = self.postgres.url(APPLICATION, OWNER)
            engine = PermissionsServiceStub(channel)
            yield Deployment(self.settings, owner, service, self.apis[api], engine)

    async def start(self) -> None:
        """Write the schema, and start the programs."""
        async with open_service(self.settings) as service:
            await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        for name in APIS:
            await self._add_api(name)
        await self.add_worker(WORKER)
        await asyncio.gather(*(program.start() for program in self.programs.values()))

    async def add_worker(self, name: str) -> None:
        """Have another worker run."""
        self.programs[name] = await self._program(name, ("worker",), _at_once)
        await self.programs[name].start()

    async def remove_worker(self, name: str) -> None:
        """End a worker and its proxies."""
        program = self.programs.pop(name)
        await program.stop()
        await program.cut_off()

    async def close(self) -> None:
        """Close what the event loop of the tests holds."""
        for program in self.programs.values():
            program.thaw()
            await program.cut_off()
        for client in self.apis.values():
            await client.aclose()

    async def repair(self) -> None:
        """Start everything that is down, and end every fault."""
        for program in self.programs.values():
            program.crash_points.disarm()
            await program.spicedb.connect_to(self.spicedb_address)
            await program.spicedb.repair()
            await program.database.repair()
            program.thaw()
        self.thaw_spicedb()
        if not _lives(self.postgres.pid):
            await asyncio.to_thread(self.postgres.start)
        if not _lives(self.spicedb.pid):
            await self.start_spicedb()
        await asyncio.gather(*(program.start() for program in self.programs.values()))
        await self.engine_recovered()

    async def engine_recovered(self) -> None:
        """Wait until SpiceDB has noticed which of its connections to PostgreSQL are broken.

        It notices each by a question that fails, and then opens a new one.
        """
        fine = 0

        async def recovered() -> bool:
            nonlocal fine
            answers = await asyncio.gather(
                *(self.spicedb_client.allowed("nobody", "nobody") for _ in range(AT_ONCE))
            )
            fine = 0 if None in answers else fine + 1
            return fine == ROUNDS

        await wait_until(recovered)

    async def kill_postgres(self) -> None:
        """Kill the first process of PostgreSQL. The others notice and end."""
        psutil.Process(self.postgres.pid).kill()

    async def stop_postgres(self, how: signal.Signals) -> None:
        """End it as an operator does: SIGINT for "fast", SIGQUIT for "immediate"."""
        await asyncio.to_thread(_end, self.postgres.pid, how)

    async def start_postgres(self) -> None:
        """Start PostgreSQL again with its data."""
        await asyncio.to_thread(self.postgres.start)

    async def kill_spicedb(self) -> None:
        """Kill SpiceDB."""
        await asyncio.to_thread(_end, self.spicedb.pid, signal.SIGKILL)

    def freeze_spicedb(self) -> None:
        """Suspend SpiceDB. Its connections stay open without an answer."""
        psutil.Process(self.spicedb.pid).suspend()

    def thaw_spicedb(self) -> None:
        """Resume SpiceDB."""
        if _lives(self.spicedb.pid):
            psutil.Process(self.spicedb.pid).resume()

    async def start_spicedb(self) -> None:
        """Bring it up, at the same address."""
        await asyncio.to_thread(self.spicedb.start)

    async def keep_spicedb(self, backup: str) -> None:
        """Copy SpiceDB's database while SpiceDB is stopped for a moment."""
        await self.kill_spicedb()
        await asyncio.to_thread(self.postgres.create_database, backup, SPICEDB, SPICEDB)
        await self.start_spicedb()

    async def replace_spicedb(self, database: str) -> None:
        """Let SpiceDB serve that database from now on: a copy, or a new one if the name is new."""
        await self.kill_spicedb()
        await asyncio.to_thread(self.postgres.create_database, database, SPICEDB)
        self.spicedb = LocalSpiceDB(
            ensure_spicedb(),
            self.stack.supervisor,
            database_url=self.postgres.url(database, SPICEDB),
            key=self.spicedb.key,
            port=self.spicedb_address[1],
        )
        await asyncio.to_thread(self.spicedb.migrate)
        await self.start_spicedb()

    @property
    def spicedb_address(self) -> tuple[str, int]:
        """Where SpiceDB listens."""
        host, _, port = self.spicedb.endpoint.rpartition(":")
        return host, int(port)

    @property
    def error_proxy_address(self) -> tuple[str, int]:
        """Where the link to SpiceDB listens."""
        host, _, port = self.error_proxy.endpoint.rpartition(":")
        return host, int(port)

    async def _add_api(self, name: str) -> None:
        port = choose_port(0, "an API", "")
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=httpx.Timeout(20, connect=5)
        )
        self.apis[name] = client

        async def ready() -> bool:
            try:
                return (await client.get("/healthz")).is_success
            except httpx.TransportError:
                return False

        self.programs[name] = await self._program(
            name, ("serve",), ready, port=str(port), mail="file"
        )

    async def _program(
        self, name: str, command: tuple[str, ...], ready: Ready, **more: str
    ) -> Program:
        folder = self._sockets / name
        folder.mkdir(exist_ok=True)
        others = Path(self.postgres.psql("SHOW unix_socket_directories").strip()) / SOCKET
        database = Proxy(folder / SOCKET, others)
        spicedb = Proxy(("127.0.0.1", 0), self.spicedb_address)
        await database.accept()
        await spicedb.accept()
        reached = {
            "database_url": f"postgresql://{APPLICATION}@/{APPLICATION}?host={folder}",
            "spicedb_endpoint": spicedb.endpoint,
        }
        return Program(
            self.stack.supervisor,
            command,
            folder,
            self.stack.home.logs / f"{name}.log",
            {**self._settings, **reached, **more},
            database=database,
            spicedb=spicedb,
            ready=ready,
        )


@asynccontextmanager
async def start_cluster(home: Path) -> AsyncIterator[Cluster]:
    """Start everything in a new home, and erase it at the end."""
    with LocalStack(home) as stack, _short_folder() as sockets:
        await asyncio.to_thread(stack.postgres.start)
        await asyncio.to_thread(upgrade, stack.postgres.url(APPLICATION, OWNER))
        spicedb = await asyncio.to_thread(stack.start_spicedb)
        cluster = Cluster(stack, spicedb, sockets)
        async with (
            _linked(spicedb) as cluster.error_proxy,
            insecure_channel(spicedb.endpoint, QUICK) as channel,
        ):
            cluster.spicedb_client = SpiceDBClient(channel, spicedb.key)
            try:
                await cluster.start()
                yield cluster
            finally:
                await cluster.close()
                await asyncio.to_thread(stack.supervisor.stop)
                stack.home.erase()


@asynccontextmanager
async def _linked(spicedb: LocalSpiceDB) -> AsyncIterator[SpiceDBProxy]:
    async with insecure_channel(spicedb.endpoint, QUICK) as channel:
        proxy = SpiceDBProxy(channel)
        await proxy.start()
        try:
            yield proxy
        finally:
            await proxy.stop()


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A path to a unix socket must not be long."""
    folder = Path(tempfile.mkdtemp(prefix="teamaccess-faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def _at_once() -> bool:
    """A worker has no endpoint that tells when it is ready."""
    return True


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end(pid: int, how: signal.Signals) -> None:
    try:
        end_process(psutil.Process(pid), how)
    except psutil.NoSuchProcess:
        return
