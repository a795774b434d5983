"""The state of the databases, SpiceDB and the ledgers, read at most every STATUS_SECONDS."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from litestar.datastructures import State
from litestar.di import NamedDependency
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.cached import Cached
from teamaccess.delivery.applications import last_changed_organization
from teamaccess.delivery.position import position_before_creation, position_of
from teamaccess.delivery.status import LedgerStatus, ledger_status
from teamaccess.delivery.versions import RunningVersion, postgresql_version, spicedb_version
from teamaccess.engine import EngineRefused, EngineUnavailable, SchemaMismatch
from teamaccess.ledger import OtherHistory
from teamaccess.service import Service

log = structlog.get_logger()

STATUS_SECONDS = 2.0
"""How long one reading serves all callers."""


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

    async def _read_ledgers(self) -> LedgerStatus:
        async with self._service.reads() as session:
            return await ledger_status(session)

    async def _read_readiness(self) -> Readiness:
        engine, versions = await self._read_engine(), await self._read_versions()
        try:
            return Readiness("ok", engine, await self._read_ledgers(), versions)
        except (SQLAlchemyError, OSError) as error:
            return Readiness(type(error).__name__, engine, None, versions)

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
                await replace(position, proof=proof).prove(service.engine, or_later=True)
        except SchemaMismatch:
            return "another schema than the catalog's"
        except OtherHistory:
            return "another history than the ledger's"
        except (EngineUnavailable, SQLAlchemyError, OSError) as error:
            return type(error).__name__
        return "ok"


StatusDependency = NamedDependency[Status]
"""The status readings of this process."""


def provide_status(state: State) -> Status:
    """Return the status readings of this process."""
    status: Status = state.status
    return status
