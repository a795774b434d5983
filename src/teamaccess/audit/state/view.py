"""One organization at one position: what an engine answers there, and what the ledger says there."""

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
Ask = Callable[[Engine, Consistency], Awaitable[Answer]]


@dataclass(frozen=True)
class View(Generic[Answer]):
    """An answer of the engine's, and the ledger at the position that it was given at."""

    answer: Answer
    standing: LedgerPosition
    graph: Graph
    """Of the present it has what ended only just: SpiceDB may have said yes to it, or no."""
    now: datetime
    """The time that the answer is about."""
    asked_at: datetime
    """When the engine had answered, by PostgreSQL's clock."""
    moment: Moment | None = None
    """The past time that was asked for, if one was."""

    def lasting(self, paths: list[Path]) -> bool:
        """Return whether one of the ways has not ended by then."""
        return any(not path.over(self.now) for path in paths)


class AuditSource(Protocol):
    """An organization at one time, of which questions are asked: the present, or a past moment."""

    @property
    def organization(self) -> OrganizationId:
        """Which one."""

    @property
    def reads(self) -> Sessions:
        """For names and reasons, which are today's."""

    @property
    def catalog(self) -> Catalog:
        """The access model that was in force."""

    async def view(self, ask: Ask[Answer], about: UserId | None = None) -> View[Answer]:
        """Ask the engine, and read what the ledger says at the same position.

        Of a question `about` one user the graph may lack what is said of others.
        """
