"""Start everything on this machine: the servers, the schema, a demo organization, the API, a worker."""

import asyncio
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from teamaccess.catalog import load_catalog
from teamaccess.common.configuration.settings import PREFIX, Settings
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.local.demo import ADMINISTRATOR, BY_DEV, ORGANIZATION, Demo, provide_demo
from teamaccess.local.errors import OtherCatalog
from teamaccess.local.home import Home, write_private
from teamaccess.local.postgres.server import APPLICATION, OWNER
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import LocalSpiceDB
from teamaccess.local.stack import LocalStack
from teamaccess.local.supervisor import Child
from teamaccess.service import open_service
from teamaccess.storage.migrations import upgrade

DevInfo = dict[str, Any]
"""The content of `dev.json`."""
NOT_OURS = {PREFIX + name for name in ("OWNER_DATABASE_URL", "SPICEDB_TLS_CA", "SPICEDB_TLS")}
"""Settings in our environment that belong to another deployment and not to the local servers."""


@dataclass(frozen=True)
class DevOptions:
    """The options of `teamaccess dev`. Port 0 means any free port."""

    home: Path
    port: int
    spicedb_port: int
    catalog: str | None
    fresh: bool


@contextmanager
def run_everything(options: DevOptions) -> Iterator[tuple[LocalStack, DevInfo]]:
    """Run everything while the block lasts. When the block begins, `dev.json` has the addresses.

    Raises a LocalStackFailed if something cannot start, and StopRequested if a signal asks to stop
    before everything is up.
    """
    _forget_other_postgresql()
    ensure_spicedb()
    with LocalStack(options.home, fresh=options.fresh) as stack:
        stack.home.dev_json.unlink(missing_ok=True)
        with stack.supervisor.stopping_on_signals():
            with Console(stderr=True).status("Starting PostgreSQL") as status:
                info = _start(stack, options, status.update)
            write_private(stack.home.dev_json, json.dumps(info, indent=2) + "\n")
            try:
                yield stack, info
            finally:
                stack.home.dev_json.unlink(missing_ok=True)


def _forget_other_postgresql() -> None:
    """Remove libpq's variables (`PGSSLMODE`, `PGSERVICE`, ...) from the environment of this process.

    They are about another PostgreSQL. The driver of this process and of those that it starts reads them.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _start(stack: LocalStack, options: DevOptions, report: Callable[[str], None]) -> DevInfo:
    port = choose_port(options.port, "the API", "--port")
    spicedb_port = choose_port(options.spicedb_port, "SpiceDB", "--spicedb-port")
    catalog = _catalog(stack.home, options.catalog)
    stack.postgres.start()
    upgrade(stack.postgres.url(APPLICATION, OWNER))
    report("Starting SpiceDB")
    spicedb = stack.start_spicedb(port=spicedb_port)
    sandbox = stack.start_sandbox()
    settings = _settings(stack, spicedb, catalog, port) | {"sandbox_endpoint": sandbox.endpoint}
    demo = asyncio.run(_populate(Settings(**settings)))
    report("Starting the API and the worker")
    worker = _start_command(stack, "worker", settings)
    api = _start_command(stack, "api", settings, command="serve")
    stack.supervisor.wait_until(api, lambda: _is_ready(port), seconds=60)
    pids = {
        "api": api.pid,
        "worker": worker.pid,
        "spicedb": spicedb.pid,
        "sandbox": sandbox.pid,
        "postgres": stack.postgres.pid,
    }
    return _dev_info(settings, demo, pids)


def _catalog(home: Home, requested: str | None) -> str:
    """Return the home's catalog. The data of a home has no meaning under another catalog.

    Raises OtherCatalog if another one is requested.
    """
    kept = home.catalog.read_text(encoding="utf-8") if home.catalog.exists() else None
    chosen = requested or kept or "fintoc"
    if chosen.endswith(".yaml"):
        chosen = str(Path(chosen).absolute())
    if kept not in (None, chosen):
        raise OtherCatalog(home=home.path, kept=kept, wanted=chosen)
    load_catalog(chosen)  # refuses an invalid catalog before the home remembers it
    home.catalog.write_text(chosen, encoding="utf-8")
    return chosen


def _settings(stack: LocalStack, spicedb: LocalSpiceDB, catalog: str, port: int) -> dict[str, Any]:
    return {
        "home": str(stack.home.path),
        "catalog": catalog,
        "database_url": stack.postgres.url(APPLICATION, APPLICATION),
        "spicedb_endpoint": spicedb.endpoint,
        "spicedb_preshared_key": spicedb.key,
        "secret_key": stack.home.secrets().secret_key,
        "public_url": f"http://127.0.0.1:{port}",
        "port": str(port),
    }


async def _populate(settings: Settings) -> Demo:
    async with open_service(settings) as service:
        await apply_schema(service.ledger, service.engine, service.catalog, BY_DEV)
        return await provide_demo(service)


def _start_command(
    stack: LocalStack, name: str, settings: dict[str, Any], command: str | None = None
) -> Child:
    """Start a teamaccess command with these settings and the rest of our environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    if not inherited.get(PREFIX + "MAIL") and not inherited.get(PREFIX + "SMTP_URL"):
        settings = settings | {"mail": "file"}
    own = {PREFIX + name.upper(): value for name, value in settings.items()}
    arguments = [sys.executable, "-m", "teamaccess", command or name]
    return stack.supervisor.start(name, arguments, environment=inherited | own)


def _dev_info(settings: dict[str, Any], demo: Demo, pids: dict[str, int]) -> DevInfo:
    return {
        "api": settings["public_url"],
        "database_url": settings["database_url"],
        "spicedb": {
            "endpoint": settings["spicedb_endpoint"],
            "preshared_key": settings["spicedb_preshared_key"],
        },
        "sandbox": {"endpoint": settings["sandbox_endpoint"]},
        "catalog": settings["catalog"],
        "pids": pids,
        "operator": {"token": demo.operator_token},
        "organization": ORGANIZATION,
        "administrator": {
            "user": demo.user,
            "email": ADMINISTRATOR,
            "token": demo.user_token,
        },
    }


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
