"""The mistakes of a catalog, and the errors of queries on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from teamaccess.common.sentences.excerpts import excerpt

MOST_MISTAKES = 50
"""Mistakes that are kept. The others are only counted."""
LONGEST_MESSAGE = 400
"""Characters of one mistake."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake and its line."""

    line: int
    message: str


class Mistakes:
    """The first mistakes of a catalog, and the number of the others.

    SECURITY: a small catalog can have thousands of mistakes. A mistake beyond the first fifty costs
    nothing, because it is only counted and its message is never built.
    """

    def __init__(self) -> None:
        self.kept: list[Mistake] = []
        self.left_out = 0

    def __bool__(self) -> bool:
        return bool(self.kept)

    def add(self, line: int, message: Callable[[], str]) -> None:
        """Keep a mistake, or count it if enough are kept."""
        if len(self.kept) < MOST_MISTAKES:
            self.kept.append(Mistake(line, excerpt(message(), LONGEST_MESSAGE)))
        else:
            self.left_out += 1


class InvalidCatalog(ValueError):
    """A catalog that says something wrong.

    `mistakes` are the first fifty things that are wrong, in the order of their lines; `left_out` is the
    number of the others.
    """

    def __init__(
        self, mistakes: Iterable[Mistake], source: str = "catalog", left_out: int = 0
    ) -> None:
        remaining = iter(mistakes)
        self.source = source
        self.mistakes = sorted(islice(remaining, MOST_MISTAKES))
        self.left_out = left_out + sum(1 for _ in remaining)
        lines = [f"{source}:{mistake.line}: {mistake.message}" for mistake in self.mistakes]
        if self.left_out:
            lines.append(f"{source}: and {self.left_out} more")
        super().__init__("\n".join(lines))


class UnknownCatalog(LookupError):
    """There is no catalog of that name or at that path."""


class RoleNotInCatalog(LookupError):
    """The catalog has no such role."""
