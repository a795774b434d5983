"""What a change does to relationships, in SpiceDB's words: TOUCH and DELETE.

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

Each says what it replaces, so that a list of updates reads backwards as well as forwards.
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


Update = Touch | Delete


def parse_update(text: str) -> Update:
    """Read the text form; raises InvalidRelationship."""
    operation, _, rest = text.partition(" ")
    if operation == "DELETE":
        return Delete(Relationship.parse(rest))
    if operation == "TOUCH":
        new, was, old = rest.partition(WAS)
        return Touch(Relationship.parse(new), Relationship.parse(old) if was else None)
    raise InvalidRelationship(
        f"an update is written TOUCH ..., TOUCH ... WAS ... or DELETE ..., not {text!r}"
    )
