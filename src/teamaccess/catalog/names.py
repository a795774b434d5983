"""The names of a schema definition. Each is unique and valid for SpiceDB."""

import re
from collections.abc import Iterable

from teamaccess.catalog.document import Block, LocatedText
from teamaccess.common.excerpts import LONGEST_QUOTED_NAME, excerpt

NAME = re.compile(r"[a-z]([a-z0-9_]*[a-z0-9])?")
SHORTEST, LONGEST = 3, 64

RESERVED = frozenset(
    {"and", "caveat", "definition", "expiration", "nil", "permission", "relation", "with"}
)
"""The keywords of the schema language with `use expiration`."""

MEANINGS = {
    "member": "every active member has it, whatever their roles",
    "membership": "it is the permission that every active member has",
    "administration": "it is the permission of those who can do everything",
    "applied": "it marks delivered positions of the ledger",
    "head": "it marks the newest position of the ledger",
}
"""What the product's own names in an organization mean."""


class DefinitionNames:
    """The names of one definition. Claiming an invalid or used name is a mistake."""

    def __init__(self, definition: str, taken: Iterable[str]) -> None:
        self._definition = definition
        self._owners = dict.fromkeys(taken, "the product itself")
        self._meanings = MEANINGS if definition == "the organization" else {}

    def claim(self, key: LocatedText, block: Block, *names: str) -> None:
        """Claim the names for the `key`. Record the first refused name as a mistake of the block."""
        for name in names:
            problem = _problem_with(name) or self._taken(name)
            if problem:
                quoted, made = (
                    excerpt(str(key), 2 * LONGEST_QUOTED_NAME),
                    excerpt(name, 2 * LONGEST_QUOTED_NAME),
                )
                block.add_mistake(key.line, f"{quoted} makes the name {made!r}, which {problem}")
                return
            self._owners[name] = f"line {key.line}"

    def _taken(self, name: str) -> str | None:
        owner, meaning = self._owners.get(name), self._meanings.get(name)
        uses = owner and f"{owner} already uses in {self._definition}"
        return f"{uses}: {meaning}. Choose another id" if uses and meaning else uses


def _problem_with(name: str) -> str | None:
    if not NAME.fullmatch(name):
        return "SpiceDB refuses: use a-z, 0-9 and _, begin with a letter, do not end with _"
    if not SHORTEST <= len(name) <= LONGEST:
        return f"has {len(name)} characters, where SpiceDB takes {SHORTEST} to {LONGEST}"
    if name in RESERVED:
        return "is a keyword of the schema language"
    return None
