"""The names that a definition of the schema gives, each once and as SpiceDB takes it."""

import re
from collections.abc import Iterable

from teamaccess.catalog.document import Block, Word
from teamaccess.common.excerpts import LONGEST_NAME, excerpt

NAME = re.compile(r"[a-z]([a-z0-9_]*[a-z0-9])?")
SHORTEST, LONGEST = 3, 64

RESERVED = frozenset(
    {"and", "caveat", "definition", "expiration", "nil", "permission", "relation", "with"}
)
"""The words of the schema language, where it uses expirations."""


class Names:
    """The names of one definition; claiming one that cannot be is a mistake."""

    def __init__(self, definition: str, taken: Iterable[str]) -> None:
        self._definition = definition
        self._owners = dict.fromkeys(taken, "the product itself")

    def claim(self, word: Word, block: Block, *names: str) -> None:
        """Give the names to what `word` stands for; note in the block the first it cannot have."""
        for name in names:
            complaint = _complaint(name) or self._taken(name)
            if complaint:
                said, made = excerpt(str(word), 2 * LONGEST_NAME), excerpt(name, 2 * LONGEST_NAME)
                block.wrong(word.line, f"{said} makes the name {made!r}, which {complaint}")
                return
            self._owners[name] = f"line {word.line}"

    def _taken(self, name: str) -> str | None:
        owner = self._owners.get(name)
        return owner and f"{owner} already uses in {self._definition}"


def _complaint(name: str) -> str | None:
    if not NAME.fullmatch(name):
        return "SpiceDB refuses: a-z, 0-9 and _ only, first a letter, last not _"
    if not SHORTEST <= len(name) <= LONGEST:
        return f"has {len(name)} characters, where SpiceDB takes {SHORTEST} to {LONGEST}"
    if name in RESERVED:
        return "is a word of the schema language"
    return None
