"""What came of looking at one tenant."""

from dataclasses import dataclass, field
from typing import Any

from teamaccess.errors import TeamaccessError
from teamaccess.reconciliation.comparison import Comparison


@dataclass
class Verdict:
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
    def of(cls, comparison: Comparison) -> "Verdict":
        """Return what a comparison says."""
        told = {kind: texts for kind, texts in comparison.told().items() if texts}
        return cls(
            comparison.organization,
            compared=comparison.compared,
            counts=comparison.counts,
            differences=told,
        )

    def hindered(self, problem: TeamaccessError) -> "Verdict":
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
