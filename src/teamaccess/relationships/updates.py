"""Updates of relationships. TOUCH and DELETE come from changes, RESTORE and PURGE from repairs.

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

A TOUCH names the relationship that it replaces, so that a list of updates can be read backwards too.

`RESTORE organization:acme#support@user:ana`
`PURGE organization:acme#support@user:eve`

RESTORE and PURGE repair a SpiceDB that differs from the ledger. They do not change the ledger's state.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from teamaccess.relationships.relationship import InvalidRelationship, Relationship, ReplayConflict

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


def by_identity(relationships: Iterable[Relationship]) -> dict[str, Relationship]:
    """Return the relationships of a state by their identity.

    Raises InvalidRelationship if the state has one identity with two expirations.
    """
    state: dict[str, Relationship] = {}
    for relationship in relationships:
        first = state.setdefault(relationship.identity, relationship)
        if first != relationship:
            raise InvalidRelationship(f"both {first} and {relationship}")
    return state


def difference(before: Iterable[Relationship], after: Iterable[Relationship]) -> list[Update]:
    """Return the updates that lead from one state to the other: deletes first, then by identity.

    Raises InvalidRelationship if a state has one identity with two expirations.
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
    """Return the state after the updates.

    Raises ReplayConflict for an update that does not fit the state before it:

    - a DELETE or RESTORE of a relationship that the state does not have,
    - a TOUCH whose `was` differs from the state,
    - a PURGE of a relationship that the state has.
    """
    state = by_identity(onto)
    for update in updates:
        before, after = _before_and_after(update)
        identity = update.relationship.identity
        if state.pop(identity, None) != before:
            raise ReplayConflict(f"{update} does not fit the state before it")
        if after is not None:
            state[identity] = after
    return set(state.values())


def _before_and_after(update: Update) -> tuple[Relationship | None, Relationship | None]:
    """Return the relationship before the update and after it, None where it does not exist."""
    match update:
        case Touch(new, was):
            return was, new
        case Delete(old):
            return old, None
        case Restore(kept):
            return kept, kept
        case Purge():
            return None, None
