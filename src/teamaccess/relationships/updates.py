"""What a change does to relationships, in SpiceDB's words: TOUCH and DELETE; and what mends SpiceDB.

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

Each says what it replaces, so that a list of updates reads backwards as well as forwards.

`RESTORE organization:acme#support@user:ana`
`PURGE organization:acme#support@user:eve`

These two change nothing of what the ledger says: SpiceDB had come to differ and is brought back to it.
"""

from dataclasses import dataclass

from teamaccess.relationships.errors import InvalidRelationship
from teamaccess.relationships.relationship import Relationship

WAS = " WAS "


@dataclass(frozen=True, slots=True)
class Touch:
    """The relationship exists from now on; `was` is how it stood, if it did."""

    relationship: Relationship
    was: Relationship | None = None

    def __post_init__(self) -> None:
        if self.was is None:
            return
        if self.was.identity != self.relationship.identity or self.was == self.relationship:
            raise InvalidRelationship(f"a touch changes the expiration and nothing else: {self}")

    def __str__(self) -> str:
        was = "" if self.was is None else f"{WAS}{self.was}"
        return f"TOUCH {self.relationship}{was}"


@dataclass(frozen=True, slots=True)
class Delete:
    """The relationship, as it stood, is gone."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"DELETE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Restore:
    """The relationship exists, as was decided before; SpiceDB had lost it or its expiration."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"RESTORE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Purge:
    """The relationship does not exist and nothing decided says so; SpiceDB had it all the same."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"PURGE {self.relationship}"


Update = Touch | Delete | Restore | Purge
Revocation = Delete | Purge
"""What takes away and gives nothing."""

PLAIN: dict[str, type[Delete | Restore | Purge]] = {
    "DELETE": Delete,
    "RESTORE": Restore,
    "PURGE": Purge,
}
"""What is said of a relationship without a word of how it stood."""


def parse_update(text: str) -> Update:
    """Read the text form; raises InvalidRelationship."""
    operation, _, rest = text.partition(" ")
    if operation in PLAIN:
        return PLAIN[operation](Relationship.parse(rest))
    if operation == "TOUCH":
        new, was, old = rest.partition(WAS)
        return Touch(Relationship.parse(new), Relationship.parse(old) if was else None)
    raise InvalidRelationship(
        "an update is written TOUCH ..., TOUCH ... WAS ..., DELETE ..., RESTORE ... or PURGE ..., "
        f"not {text!r}"
    )
