"""The result of a reconciliation, and how many relationships it may delete."""

from dataclasses import dataclass, field
from typing import Any

from teamaccess.common.errors import Conflict, TeamaccessError
from teamaccess.upkeep.reconciliation.comparison import Comparison

DEFAULT_MOST_DELETES = 100
"""Deletes that a repair may make unless the operator allows more."""


class TooManyDeletes(Conflict):
    """The repair needs more deletes than `--max-deletes` has left."""

    message = (
        "Repairing {organization} takes {needed:delete}, and {left} of the {allowed} that "
        "--max-deletes allows are left. Nothing was repaired. Check the differences, then raise"
        " it."
    )


class DeleteBudget:
    """The number of deletes that repairs may make, over all tenants."""

    def __init__(self, deletes: int = DEFAULT_MOST_DELETES) -> None:
        self.allowed = self.left = deletes

    def spend(self, organization: str, deletes: int) -> None:
        """Take deletes from the budget. Raises TooManyDeletes, and takes none, if too few are left."""
        if deletes > self.left:
            raise TooManyDeletes(
                organization=organization, needed=deletes, allowed=self.allowed, left=self.left
            )
        self.left -= deletes


@dataclass
class ReconcileResult:
    """The differences of one tenant, and what was repaired."""

    organization: str
    known: bool = True
    """Whether the organization exists or existed. Otherwise only SpiceDB knows the tenant."""
    compared: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    differences: dict[str, list[Any]] = field(default_factory=dict)
    """All differences by kind, as text. For an unknown tenant only some."""
    mended: int = 0
    pending: bool = False
    """Whether the repair is decided and SpiceDB has not confirmed it yet."""
    needed: int = 0
    """The number of deletes that the repair needs, if the budget is too small."""
    problem: str | None = None
    """The code of the error because of which it was not compared or repaired."""
    detail: str | None = None

    @classmethod
    def of(cls, comparison: Comparison) -> "ReconcileResult":
        """Return the result of a comparison."""
        differences = {kind: texts for kind, texts in comparison.as_texts().items() if texts}
        return cls(
            comparison.organization,
            compared=comparison.compared,
            counts=comparison.counts,
            differences=differences,
        )

    def with_problem(self, problem: TeamaccessError) -> "ReconcileResult":
        """Record the error because of which it was not compared or repaired, and return the result."""
        self.problem, self.detail = problem.code, problem.detail
        return self

    @property
    def found(self) -> int:
        """The number of differences that were found."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """The number of differences that are left."""
        return self.found - self.mended
