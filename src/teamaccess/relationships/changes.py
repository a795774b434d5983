"""From two states to the updates between them, and back."""

from collections.abc import Iterable

from teamaccess.relationships.errors import InvalidRelationship, ReplayConflict
from teamaccess.relationships.relationship import Relationship
from teamaccess.relationships.updates import Delete, Purge, Restore, Touch, Update


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
