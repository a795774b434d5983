"""How this process and the ledgers stand, read seldom: anybody may ask, without signing in."""

from dataclasses import dataclass, replace

from litestar.datastructures import State
from litestar.di import NamedDependency
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.recent import Recent
from teamaccess.delivery.applications import last_changed_organization
from teamaccess.delivery.position import position_before_creation, position_of
from teamaccess.delivery.status import LedgerStatus, ledger_status
from teamaccess.engine import EngineUnavailable, SchemaMismatch
from teamaccess.ledger import OtherHistory
from teamaccess.service import Service

STATUS_SECONDS = 2.0
"""For how long a reading answers everybody who asks."""


@dataclass(frozen=True)
class Readiness:
    """Whether the parts answer that decide."""

    database: str
    """`ok`, or why not."""
    engine: str
    ledgers: LedgerStatus | None
    """None where PostgreSQL does not answer."""

    @property
    def ready(self) -> bool:
        """Whether changes and questions can be answered."""
        return self.database == self.engine == "ok"


class Status:
    """The readings behind `/readyz` and `/metrics`.

    SECURITY: both are for anybody, and each reading asks PostgreSQL and SpiceDB. So anonymous requests
    share one, however many they are. An operator gets a fresh one.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.ledgers = Recent(self._read_ledgers, STATUS_SECONDS)
        self.readiness = Recent(self._read_readiness, STATUS_SECONDS)

    async def _read_ledgers(self) -> LedgerStatus:
        async with self._service.reads() as session:
            return await ledger_status(session)

    async def _read_readiness(self) -> Readiness:
        engine = await self._engine()
        try:
            return Readiness("ok", engine, await self._read_ledgers())
        except (SQLAlchemyError, OSError) as error:
            return Readiness(type(error).__name__, engine, None)

    async def _engine(self) -> str:
        """Whether SpiceDB answers, with the catalog's schema and the ledgers' history."""
        service, proof = self._service, self._service.catalog.schema_proof
        try:
            async with service.reads() as session:
                changed = await session.scalar(last_changed_organization())
                found = await position_of(session, changed) if changed is not None else None
            if found is None:
                await position_before_creation(proof).prove_schema(service.engine)
            else:
                await replace(found, proof=proof).prove(service.engine, or_later=True)
        except SchemaMismatch:
            return "another schema than the catalog's"
        except OtherHistory:
            return "another history than the ledger's"
        except (EngineUnavailable, SQLAlchemyError, OSError) as error:
            return type(error).__name__
        return "ok"


TheStatus = NamedDependency[Status]
"""The process's readings of how things stand."""


def provide_status(state: State) -> Status:
    """Return the readings of this process."""
    status: Status = state.status
    return status
