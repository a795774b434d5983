"""Updates of relationships. TOUCH and DELETE come from changes, RESTORE and PURGE from repairs.

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

A TOUCH names the relationship that it replaces, so that a list of updates can be read backwards too.

`RESTORE organization:acme#support@user:ana`
`PURGE organization:acme#support@user:eve`

RESTORE and PURGE repair a SpiceDB that differs from the ledger. They do not change the ledger's state.
"""

from dataclasses import dataclass

from teamaccess.relationships.errors import InvalidRelationship
from teamaccess.relationships.relationship import Relationship

WAS = " WAS "


@dataclass(frozen=True, slots=True)
class Touch:
    """The relationship exists from now on. `was` is the relationship that it replaces, if any."""

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
    """The relationship no longer exists. It is named with its last expiration, if it had one."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"DELETE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Restore:
    """The relationship exists, as the ledger says. SpiceDB had lost it or its expiration."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"RESTORE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Purge:
    """The relationship does not exist, as the ledger says. SpiceDB held it nevertheless."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"PURGE {self.relationship}"


Update = Touch | Delete | Restore | Purge
Revocation = Delete | Purge
"""An update that takes access away and gives none."""

WITHOUT_WAS: dict[str, type[Delete | Restore | Purge]] = {
    "DELETE": Delete,
    "RESTORE": Restore,
    "PURGE": Purge,
}
"""The updates that name one relationship only."""


def parse_update(text: str) -> Update:
    """Read the text form. Raises InvalidRelationship."""
    operation, _, rest = text.partition(" ")
    if operation in WITHOUT_WAS:
        return WITHOUT_WAS[operation](Relationship.parse(rest))
    if operation == "TOUCH":
        new, was, old = rest.partition(WAS)
        return Touch(Relationship.parse(new), Relationship.parse(old) if was else None)
    raise InvalidRelationship(
        "an update is written TOUCH ..., TOUCH ... WAS ..., DELETE ..., RESTORE ... or PURGE ..., "
        f"not {text!r}"
    )
