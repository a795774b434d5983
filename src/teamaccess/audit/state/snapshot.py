"""An organization at one ledger position: what the engine answers there, and what the ledger records."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from teamaccess.audit.state.graph import Graph, Path
from teamaccess.audit.state.moment import Moment
from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition
from teamaccess.engine import Consistency, Engine
from teamaccess.ledger import Sessions
from teamaccess.storage import OrganizationId, UserId

Answer = TypeVar("Answer")
EngineQuestion = Callable[[Engine, Consistency], Awaitable[Answer]]


@dataclass(frozen=True)
class Snapshot(Generic[Answer]):
    """The engine's answer, and the ledger at the position of that answer."""

    answer: Answer
    ledger_position: LedgerPosition
    graph: Graph
    """For the present it includes what expired a moment ago: SpiceDB may still have counted it."""
    now: datetime
    """The time that the answer is about."""
    asked_at: datetime
    """When the engine had answered, by PostgreSQL's clock."""
    moment: Moment | None = None
    """The past time that was asked about, if any."""

    def has_unexpired(self, paths: list[Path]) -> bool:
        """Return whether at least one of the paths had not expired by then."""
        return any(not path.expired(self.now) for path in paths)


class AuditSource(Protocol):
    """An organization at one time, about which questions are asked: the present, or a past moment."""

    @property
    def organization(self) -> OrganizationId:
        """The organization's id."""

    @property
    def reads(self) -> Sessions:
        """Sessions that read names and reasons. Both are always today's."""

    @property
    def catalog(self) -> Catalog:
        """The access model that was in force."""

    async def snapshot(
        self, ask: EngineQuestion[Answer], about: UserId | None = None
    ) -> Snapshot[Answer]:
        """Ask the engine, and read what the ledger records at the same position.

        If the question is `about` one user, the graph may lack facts about other users.
        """
