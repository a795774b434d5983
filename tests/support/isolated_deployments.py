"""Deployments of one test: databases and a SpiceDB that no other test writes to."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from teamaccess.common.configuration.settings import Settings
from teamaccess.local.postgres.installation import find_installation
from teamaccess.local.postgres.server import OWNER, SUPERUSER, LocalPostgres
from teamaccess.local.spicedb.server import LocalSpiceDB
from teamaccess.local.stack import LocalStack
from teamaccess.storage.migrations import upgrade
from tests.support.deployment import Deployment, open_deployment
from tests.support.fixtures import hosted


@dataclass
class IsolatedDeployments:
    """Creates, copies and restores databases, and starts SpiceDB on them."""

    stack: LocalStack
    home: Path

    async def database(self) -> str:
        """Create a database with our tables. Returns its name."""
        name = f"teamaccess_{secrets.token_hex(4)}"
        self.stack.postgres.create_database(name, owner=OWNER)
        await asyncio.to_thread(upgrade, self.stack.postgres.url(name, OWNER))
        return name

    async def copy(self, name: str, owner: str) -> str:
        """Copy a database without connections. Returns the name of the copy."""
        another = f"{name}_{secrets.token_hex(2)}"
        create = self.stack.postgres.create_database
        await asyncio.to_thread(create, another, owner, template=name)
        return another

    async def dump(self, name: str) -> str:
        """Back a database up with pg_dump, while it is in use."""
        command = (
            find_installation().programs / "pg_dump",
            self.stack.postgres.url(name, SUPERUSER),
        )
        return await asyncio.to_thread(lambda: subprocess.check_output(command, text=True))

    async def restore(self, dump: str) -> str:
        """Create a database from a dump of pg_dump. Returns its name."""
        name = f"teamaccess_{secrets.token_hex(4)}"
        self.stack.postgres.create_database(name, owner=OWNER)
        await asyncio.to_thread(self.stack.postgres.psql, dump, database=name)
        return name

    async def spicedb(self, database: str | None = None) -> tuple[str, LocalSpiceDB]:
        """Start a SpiceDB on a database, a new one if none is named; return both."""
        name = database or f"spicedb_{secrets.token_hex(4)}"
        return name, await asyncio.to_thread(self.stack.start_spicedb, name)

    async def stop(self, spicedb: LocalSpiceDB) -> None:
        """End a SpiceDB, so that its database can be copied."""
        process = psutil.Process(spicedb.pid)
        process.terminate()
        await asyncio.to_thread(process.wait, 10)

    def settings(self, database: str, spicedb: LocalSpiceDB) -> Settings:
        """The settings of a teamaccess on these two."""
        return Settings(
            home=self.home,
            catalog="fintoc",
            database_url=self.stack.postgres.url(database, "teamaccess"),
            spicedb_endpoint=spicedb.endpoint,
            spicedb_preshared_key=SecretStr(spicedb.key),
            secret_key=SecretStr("a secret of the tests alone"),
            requests_per_second=1_000_000,
        )

    @asynccontextmanager
    async def deployment(self, database: str, spicedb: LocalSpiceDB) -> AsyncIterator[Deployment]:
        """A teamaccess on these two."""
        settings = self.settings(database, spicedb)
        async with open_deployment(settings, self.owner_url(database)) as deployment:
            yield deployment

    async def execute_without_triggers(self, deployment: Deployment, statement: str) -> None:
        """Run a statement in the deployment's database as the superuser, with triggers disabled."""
        script = f"SET session_replication_role = replica; {statement}"
        database = make_url(deployment.owner_url).database or ""
        await asyncio.to_thread(self.stack.postgres.psql, script, database=database)

    def owner_url(self, database: str) -> str:
        """The URL with which the owner of its tables connects to a database."""
        return self.stack.postgres.url(database, OWNER)


@pytest.fixture
def isolated_deployments(
    stack: LocalStack, postgres: LocalPostgres, tmp_path: Path
) -> IsolatedDeployments:
    """Creates deployments with databases and a SpiceDB that no other test uses."""
    return IsolatedDeployments(stack, tmp_path)


@pytest.fixture
async def isolated(isolated_deployments: IsolatedDeployments) -> AsyncIterator[Deployment]:
    """A deployment that contains only what the test creates."""
    database = await isolated_deployments.database()
    _, spicedb = await isolated_deployments.spicedb()
    settings = isolated_deployments.settings(database, spicedb)
    async for deployment in hosted(settings, isolated_deployments.owner_url(database)):
        await deployment.apply_schema()
        yield deployment
    await isolated_deployments.stop(spicedb)
