"""The running deployments, one for each catalog and run. Organizations are new in each test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from teamaccess.common.configuration.settings import Settings
from teamaccess.local.postgres.server import OWNER, LocalPostgres
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.local.spicedb.server import LocalSpiceDB
from teamaccess.storage.migrations import upgrade
from tests.support.deployment import Deployment, open_deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker


async def _deployment(
    catalog: str, postgres: LocalPostgres, spicedb: LocalSpiceDB, sandbox: LocalSandbox, home: Path
) -> AsyncIterator[Deployment]:
    database = f"teamaccess_{Path(catalog).stem}"
    postgres.create_database(database, owner=OWNER)
    owner_url = postgres.url(database, OWNER)
    await asyncio.to_thread(upgrade, owner_url)
    settings = Settings(
        home=home,
        catalog=catalog,
        database_url=postgres.url(database, "teamaccess"),
        spicedb_endpoint=spicedb.endpoint,
        spicedb_preshared_key=SecretStr(spicedb.key),
        sandbox_endpoint=sandbox.endpoint,
        secret_key=SecretStr("a secret of the tests alone"),
        requests_per_second=1_000_000,
    )
    async for deployment in hosted(settings, owner_url):
        await deployment.apply_schema()
        yield deployment


async def hosted(settings: Settings, owner_url: str) -> AsyncIterator[Deployment]:
    """Run the application's lifespan in one task, which a fixture alone does not guarantee."""
    opened: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()
    closing = asyncio.Event()

    async def host() -> None:
        try:
            async with open_deployment(settings, owner_url) as deployment:
                opened.set_result(deployment)
                await closing.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    hosting = asyncio.create_task(host())
    yield await opened
    closing.set()
    await hosting


@pytest.fixture(scope="session")
async def fintoc(
    postgres: LocalPostgres,
    spicedb_for: Callable[[str], LocalSpiceDB],
    sandbox: LocalSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Deployment]:
    """A teamaccess that runs fintoc's catalog."""
    async for deployment in _deployment(
        "fintoc", postgres, spicedb_for("fintoc"), sandbox, tmp_path_factory.mktemp("fintoc")
    ):
        yield deployment


@pytest.fixture(scope="session")
async def fintoc_elsewhere(fintoc: Deployment) -> AsyncIterator[Deployment]:
    """Another process on fintoc's database: its own connections and its own memory."""
    async for deployment in hosted(fintoc.settings, fintoc.owner_url):
        yield deployment


@pytest.fixture(scope="session")
async def finicom(
    postgres: LocalPostgres,
    spicedb_for: Callable[[str], LocalSpiceDB],
    sandbox: LocalSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Deployment]:
    """A teamaccess that runs finicom's catalog."""
    async for deployment in _deployment(
        "finicom", postgres, spicedb_for("finicom"), sandbox, tmp_path_factory.mktemp("finicom")
    ):
        yield deployment


@pytest.fixture(scope="session")
async def bank(
    postgres: LocalPostgres,
    spicedb_for: Callable[[str], LocalSpiceDB],
    sandbox: LocalSandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Deployment]:
    """A deployment whose catalog has roles between members and administrators."""
    catalog = str(Path(__file__).parents[1] / "stories" / "bank.yaml")
    async for deployment in _deployment(
        catalog, postgres, spicedb_for(catalog), sandbox, tmp_path_factory.mktemp("bank")
    ):
        yield deployment


@pytest.fixture
async def acme(fintoc: Deployment) -> Organization:
    """A new organization of fintoc's, with ana as its administrator."""
    return await fintoc.create_organization("acme")


@pytest.fixture
async def globex(fintoc: Deployment) -> Organization:
    """Another tenant."""
    return await fintoc.create_organization("globex")


@pytest.fixture
async def branch(bank: Deployment) -> Organization:
    """A new organization of the bank's, with ana as its owner."""
    return await bank.create_organization("branch")


@pytest.fixture
async def initech(finicom: Deployment) -> Organization:
    """A new organization of finicom's, with ana as its admin."""
    return await finicom.create_organization("initech")


@pytest.fixture
async def worker(fintoc: Deployment) -> AsyncIterator[None]:
    """A worker that runs beside the API."""
    async with running_worker(fintoc):
        yield
