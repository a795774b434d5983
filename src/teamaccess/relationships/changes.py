"""Compute the updates between two states, and the state after some updates."""

from collections.abc import Iterable

from teamaccess.relationships.errors import InvalidRelationship, ReplayConflict
from teamaccess.relationships.relationship import Relationship
from teamaccess.relationships.updates import Delete, Purge, Restore, Touch, Update


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
