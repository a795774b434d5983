"""What can be wrong with a catalog, or with a question to it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong, and the line where it is written."""

    line: int
    message: str


class InvalidCatalog(ValueError):
    """A catalog that says something wrong; `mistakes` is everything that is, in its order."""

    def __init__(self, mistakes: Iterable[Mistake], source: str = "catalog") -> None:
        self.source = source
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(f"{source}:{m.line}: {m.message}" for m in self.mistakes))


class UnknownCatalog(LookupError):
    """There is no catalog of that name or at that path."""


class UnknownRole(LookupError):
    """The catalog has no such role."""
