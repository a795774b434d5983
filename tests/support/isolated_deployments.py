"""Deployments of one test: databases and a SpiceDB that no other test writes to."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from teamaccess.common.configuration.settings import Settings
from teamaccess.local.postgres.installation import find_installation
from teamaccess.local.postgres.server import OWNER, SPICEDB, SUPERUSER, LocalPostgres
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import USERSETS_INDEX, LocalSpiceDB
from teamaccess.local.stack import LocalStack
from teamaccess.storage.migrations import upgrade
from tests.support.deployment import Deployment, open_deployment
from tests.support.fixtures import hosted

NEW_IDENTITY = "UPDATE metadata SET unique_id = gen_random_uuid()"
"""Without it, copies of one SpiceDB's database would be one SpiceDB to its ZedTokens."""


@dataclass
class MigratedTemplates:
    """Databases that are migrated once in a test process, and copied for each test."""

    stack: LocalStack

    @cached_property
    def teamaccess(self) -> str:
        """The name of a database with our tables."""
        name = "teamaccess_migrated"
        self.stack.postgres.create_database(name, owner=OWNER)
        upgrade(self.stack.postgres.url(name, OWNER))
        return name

    @cached_property
    def spicedb(self) -> str:
        """The name of a database with SpiceDB's tables and our index."""
        name = "spicedb_migrated"
        self.stack.postgres.create_database(name, owner=SPICEDB)
        self.spicedb_on(name).migrate()
        self.stack.postgres.psql(USERSETS_INDEX, name)
        return name

    def spicedb_on(self, database: str) -> LocalSpiceDB:
        """A SpiceDB on a database, not yet started."""
        return LocalSpiceDB(
            ensure_spicedb(),
            self.stack.supervisor,
            database_url=self.stack.postgres.url(database, SPICEDB),
            key=self.stack.home.secrets().spicedb_preshared_key,
            port=choose_port(0, "SpiceDB", ""),
        )


@dataclass
class IsolatedDeployments:
    """Creates, copies and restores databases, and starts SpiceDB on them."""

    stack: LocalStack
    home: Path
    templates: MigratedTemplates

    async def database(self) -> str:
        """Create a database with our tables. Returns its name."""
        return await self.copy(await asyncio.to_thread(lambda: self.templates.teamaccess), OWNER)

    async def datastore(self) -> str:
        """Create a database with SpiceDB's tables. Returns its name."""
        name = await self.copy(await asyncio.to_thread(lambda: self.templates.spicedb), SPICEDB)
        await asyncio.to_thread(self.stack.postgres.psql, NEW_IDENTITY, name)
        return name

    async def copy(self, name: str, owner: str) -> str:
        """Copy a database without connections. Returns the name of the copy."""
        another = f"{name}_{secrets.token_hex(4)}"
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
        name = database or await self.datastore()
        spicedb = self.templates.spicedb_on(name)
        await asyncio.to_thread(spicedb.start, name)
        return name, spicedb

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


@pytest.fixture(scope="session")
def templates(stack: LocalStack, postgres: LocalPostgres) -> MigratedTemplates:
    """Databases with every table and no rows. Nothing connects to them, so they can be copied."""
    return MigratedTemplates(stack)


@pytest.fixture
def isolated_deployments(
    stack: LocalStack, templates: MigratedTemplates, tmp_path: Path
) -> IsolatedDeployments:
    """Creates deployments with databases and a SpiceDB that no other test uses."""
    return IsolatedDeployments(stack, tmp_path, templates)


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
