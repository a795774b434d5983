"""The result of a reconciliation, and how many relationships it may delete."""

from dataclasses import dataclass, field
from typing import Any

from teamaccess.common.errors import Conflict, TeamaccessError
from teamaccess.upkeep.reconciliation.comparison import Comparison

UNASKED = 100


class TooManyDeletes(Conflict):
    """The repair needs more deletes than `--max-deletes` has left."""

    message = (
        "Repairing {organization} takes {needed} deletes, and {left} of the {allowed} that "
        "--max-deletes allows are left. Nothing was repaired. Check the differences, then raise"
        " it."
    )


class DeleteBudget:
    """Counts deletes up to a limit, over all tenants."""

    def __init__(self, deletes: int = UNASKED) -> None:
        self.allowed = self.left = deletes

    def spend(self, organization: str, deletes: int) -> None:
        """Take so many; raises TooManyDeletes, and takes none, where they are not left."""
        if deletes > self.left:
            raise TooManyDeletes(
                organization=organization, needed=deletes, allowed=self.allowed, left=self.left
            )
        self.left -= deletes


@dataclass
class ReconcileResult:
    """How a tenant stood, and what was done about it."""

    organization: str
    known: bool = True
    """Whether there is, or was, such an organization; else SpiceDB alone knows it."""
    compared: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    differences: dict[str, list[Any]] = field(default_factory=dict)
    """All of them by kind, as text; of a tenant that nobody knows only some."""
    mended: int = 0
    pending: bool = False
    """Whether what mends it is decided, and SpiceDB has not confirmed it yet."""
    needed: int = 0
    """How many deletes it would have taken, where they were more than are allowed."""
    problem: str | None = None
    """The code of what kept it from being compared or mended."""
    detail: str | None = None

    @classmethod
    def of(cls, comparison: Comparison) -> "ReconcileResult":
        """Return what a comparison says."""
        told = {kind: texts for kind, texts in comparison.told().items() if texts}
        return cls(
            comparison.organization,
            compared=comparison.compared,
            counts=comparison.counts,
            differences=told,
        )

    def with_problem(self, problem: TeamaccessError) -> "ReconcileResult":
        """Return it with what stood in the way."""
        self.problem, self.detail = problem.code, problem.detail
        return self

    @property
    def found(self) -> int:
        """How many differences there were."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """How many differences there are still."""
        return self.found - self.mended
