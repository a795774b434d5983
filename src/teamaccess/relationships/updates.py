"""What a change does to relationships, in SpiceDB's words: TOUCH and DELETE; and what mends SpiceDB.

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

Each says what it replaces, so that a list of updates reads backwards as well as forwards.

`RESTORE organization:acme#support@user:ana`
`PURGE organization:acme#support@user:eve`

These two change nothing of what the ledger says: SpiceDB had come to differ and is brought back to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from teamaccess.relationships.relationship import InvalidRelationship, Relationship, ReplayConflict

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


def by_identity(relationships: Iterable[Relationship]) -> dict[str, Relationship]:
    """Index a state; raises InvalidRelationship if it gives one identity two expirations."""
    state: dict[str, Relationship] = {}
    for relationship in relationships:
        known = state.setdefault(relationship.identity, relationship)
        if known != relationship:
            raise InvalidRelationship(f"both {known} and {relationship}")
    return state


def difference(before: Iterable[Relationship], after: Iterable[Relationship]) -> list[Update]:
    """Return the updates that lead from one state to the other: deletes first, then by identity.

    Raises InvalidRelationship if a state gives one identity two expirations.
    """
    old, new = by_identity(before), by_identity(after)
    deletes = [Delete(old[identity]) for identity in sorted(old.keys() - new.keys())]
    touches = [
        Touch(new[identity], old.get(identity))
        for identity in sorted(new)
        if new[identity] != old.get(identity)
    ]
    return [*deletes, *touches]


def replay(updates: Iterable[Update], onto: Iterable[Relationship] = ()) -> set[Relationship]:
    """Return the state that the updates lead to.

    Raises ReplayConflict where an update says another thing of the state before it than is so:
    a delete of what is not there, a touch whose `was` is not how it stood, a restoring of what does
    not stand so, or a purging of what stands.
    """
    state = by_identity(onto)
    for update in updates:
        before, after = _around(update)
        identity = update.relationship.identity
        if state.pop(identity, None) != before:
            raise ReplayConflict(f"{update} does not fit what stood before it")
        if after is not None:
            state[identity] = after
    return set(state.values())


def _around(update: Update) -> tuple[Relationship | None, Relationship | None]:
    """Return how the relationship stands before the update and after it, as the update has it."""
    match update:
        case Touch(new, was):
            return was, new
        case Delete(old):
            return old, None
        case Restore(kept):
            return kept, kept
        case Purge():
            return None, None
