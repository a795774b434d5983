"""What can be wrong with a catalog, or with a question to it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from teamaccess.common.excerpts import excerpt

MOST_MISTAKES = 50
"""Mistakes that are kept; of the others it is said how many they are."""
LONGEST_MESSAGE = 400
"""Characters of one mistake."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong, and the line where it is written."""

    line: int
    message: str


class Mistakes:
    """The first mistakes of a catalog, and how many more there are.

    SECURITY: a small catalog can have thousands of mistakes, so a mistake too many costs nothing: it is
    counted, and its message is never put together.
    """

    def __init__(self) -> None:
        self.kept: list[Mistake] = []
        self.left_out = 0

    def __bool__(self) -> bool:
        return bool(self.kept)

    def add(self, line: int, message: Callable[[], str]) -> None:
        """Keep a mistake, or count it."""
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
        found = iter(mistakes)
        self.source = source
        self.mistakes = sorted(islice(found, MOST_MISTAKES))
        self.left_out = left_out + sum(1 for _ in found)
        told = [f"{source}:{each.line}: {each.message}" for each in self.mistakes]
        if self.left_out:
            told.append(f"{source}: and {self.left_out} more")
        super().__init__("\n".join(told))


class UnknownCatalog(LookupError):
    """There is no catalog of that name or at that path."""


class RoleNotInCatalog(LookupError):
    """The catalog has no such role."""
