"""The state of the databases, SpiceDB and the ledgers, read at most every STATUS_SECONDS."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from litestar.datastructures import State
from litestar.di import NamedDependency
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.api.cached import Cached
from teamaccess.common.postgres.outages import lacks_tables
from teamaccess.delivery.applications import last_changed_organization, last_changed_organizations
from teamaccess.delivery.position import position_before_creation, position_of
from teamaccess.delivery.status import LedgerStatus, ledger_status
from teamaccess.delivery.versions import RunningVersion, postgresql_version, spicedb_version
from teamaccess.engine import EngineRefused, EngineUnavailable, SchemaMismatch
from teamaccess.ledger import OtherHistory
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

READ_ONLY = "accepts no changes"
NOT_MIGRATED = "it has the tables of another version: run `teamaccess migrate`"
ONLY_READS = text("SELECT current_setting('transaction_read_only') = 'on'")
log = structlog.get_logger()

STATUS_SECONDS = 2.0
"""How long one reading serves all callers."""
MOST_COMPARED = 10
"""How many organizations must disagree with SpiceDB before the process is unready."""
ISSUER_SECONDS = 0.2
"""How long a reading waits for the OpenID issuer's answer. Probes often wait one second in all."""


@dataclass(frozen=True)
class Readiness:
    """Whether PostgreSQL and SpiceDB answer."""

    database: str
    """`ok`, or the reason why not."""
    engine: str
    """`ok`, or the reason why not."""
    ledgers: LedgerStatus | None
    """None if PostgreSQL does not answer."""
    versions: Mapping[str, RunningVersion]
    """The versions of the servers that answer, by `postgresql` and `spicedb`."""
    clock_offset_seconds: float | None = None
    """How far this machine's clock is ahead of PostgreSQL's; None if PostgreSQL does not answer."""
    issuer: str | None = None
    """`ok`, or why people cannot sign in at the OpenID issuer; None without one.

    Our own tokens work without it, so a problem does not make the process unready.
    """

    @property
    def ready(self) -> bool:
        """Whether this process can make changes and answer questions."""
        return self.database == self.engine == "ok"


class Status:
    """The readings behind `/readyz` and `/metrics`.

    SECURITY: both answer anonymous callers, and each reading queries PostgreSQL and SpiceDB. So all
    anonymous requests share one reading. An operator gets a fresh one.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.ledgers = Cached(self._read_ledgers, STATUS_SECONDS)
        self._reported: set[tuple[str, RunningVersion]] = set()
        self.readiness = Cached(self._read_readiness, STATUS_SECONDS)
        self._refreshing: asyncio.Task[None] | None = None

    async def _read_ledgers(self) -> LedgerStatus:
        async with self._service.reads() as session:
            return await ledger_status(session)

    async def _read_readiness(self) -> Readiness:
        engine, issuer = await self._read_engine(), await self._read_issuer()
        versions = await self._read_versions()
        try:
            database = READ_ONLY if await self._only_reads() else "ok"
            ledgers, offset = await self._read_ledgers(), await self._read_clock_offset()
            return Readiness(database, engine, ledgers, versions, offset, issuer)
        except (SQLAlchemyError, OSError) as error:
            problem = NOT_MIGRATED if lacks_tables(error) else type(error).__name__
            return Readiness(problem, engine, None, versions, issuer=issuer)

    async def _read_clock_offset(self) -> float:
        """Return the difference of the clocks. It is accurate to half of the query's round trip."""
        before = time.time()
        database = (await self._service.now()).timestamp()
        return (before + time.time()) / 2 - database

    async def _read_issuer(self) -> str | None:
        """Return what is known of the issuer. Its keys are fetched again if they are due."""
        issuer = self._service.issuer
        if issuer is None:
            return None
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(issuer.keys.refresh())
        await asyncio.wait([self._refreshing], timeout=ISSUER_SECONDS)
        return issuer.problem or ("ok" if issuer.keys.known else "it has not answered yet")

    async def _only_reads(self) -> bool:
        """Return whether PostgreSQL refuses changes, as a standby does.

        If so, renew the pool, because its connections would stay with that server after a failover.
        """
        async with self._service.reads() as session:
            only_reads = bool(await session.scalar(ONLY_READS))
            bind = session.bind
        if only_reads and isinstance(bind, AsyncEngine):
            await bind.dispose()
        return only_reads

    async def _read_versions(self) -> dict[str, RunningVersion]:
        """Return the versions of the servers that answer. Log once that one is too old."""
        versions: dict[str, RunningVersion] = {}
        with suppress(SQLAlchemyError, OSError):
            async with self._service.reads() as session:
                versions["postgresql"] = await postgresql_version(session)
        with suppress(EngineUnavailable, EngineRefused):
            versions["spicedb"] = await spicedb_version(self._service.engine)
        for server, version in versions.items():
            if version.supported is False and (server, version) not in self._reported:
                self._reported.add((server, version))
                log.warning(
                    "server_too_old", server=server, running=version.running, oldest=version.oldest
                )
        return versions

    async def _read_engine(self) -> str:
        """Return `ok` if SpiceDB answers with the catalog's schema and the ledgers' history.

        Otherwise return the reason why not.
        """
        service, proof = self._service, self._service.catalog.schema_proof
        try:
            async with service.reads() as session:
                last_changed = await session.scalar(last_changed_organization())
                position = (
                    await position_of(session, last_changed) if last_changed is not None else None
                )
            if position is None:
                await position_before_creation(proof).prove_schema(service.engine)
            else:
                try:
                    await replace(position, proof=proof).prove(service.engine, or_later=True)
                except OtherHistory:
                    if not await self._agrees_with_another(position.organization):
                        return "another history than the ledger's"
        except SchemaMismatch:
            return "another schema than the catalog's"
        except (EngineUnavailable, SQLAlchemyError, OSError) as error:
            return type(error).__name__
        return "ok"

    async def _agrees_with_another(self, organization: OrganizationId) -> bool:
        """Return whether SpiceDB has the history of another organization that changed lately.

        SECURITY: a thief can give one organization another history, which that organization answers
        itself. It must not stop the processes for all others.
        """
        service, proof = self._service, self._service.catalog.schema_proof
        async with service.reads() as session:
            others = (await session.scalars(last_changed_organizations(MOST_COMPARED))).all()
            positions = [await position_of(session, each) for each in others]
        for position in positions:
            if position is not None and position.organization != organization:
                with suppress(OtherHistory):
                    await replace(position, proof=proof).prove(service.engine, or_later=True)
                    return True
        return False


StatusDependency = NamedDependency[Status]
"""The status readings of this process."""


def provide_status(state: State) -> Status:
    """Return the status readings of this process."""
    status: Status = state.status
    return status
