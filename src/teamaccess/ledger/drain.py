"""Compute the updates of a transaction from PostgreSQL's notes of changed rows."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from teamaccess.ledger.errors import IndivisibleChange, OverlappingRows
from teamaccess.relationships import (
    InvalidRelationship,
    Relationship,
    Revocation,
    Update,
    difference,
)
from teamaccess.storage import OrganizationId, RelationshipSource

UPDATES_PER_POSITION = 900
"""SpiceDB accepts 1,000 updates in one write. This leaves room for the markers."""

MAX_UPDATES_OF_ONE_SUBJECT = 997
"""Updates of one subject stay in one position. With the three updates that mark it, they fill a write."""

REGISTRATION_RELATIONS = ("organization", "creator")
"""The relations of a registered object that give no access by themselves."""

Image = Mapping[str, Any]
"""A row as PostgreSQL's `to_jsonb` returns it."""


class Note(NamedTuple):
    """The rows of a source table before and after one statement."""

    source: str
    before: Sequence[Image]
    after: Sequence[Image]


def net_updates(notes: Iterable[Note]) -> dict[OrganizationId, list[Update]]:
    """Return the net updates of one transaction's notes, by organization in the order of ids.

    Each intermediate image of a row is in the `after` of one note and in the `before` of the next, so the
    two cancel in the sum over all notes. The sum is each row's first old image against its last new one.
    The order of the notes does not matter, and keys may change (docs/decisions/0001).
    """
    tables = RelationshipSource.tables()
    balance: dict[OrganizationId, Counter[Relationship]] = defaultdict(Counter)
    for note in notes:
        source = tables[note.source]
        for images, sign in ((note.before, -1), (note.after, 1)):
            for image in images:
                tenant = balance[OrganizationId(image["organization_id"])]
                for relationship in source.relationships_of(image):
                    tenant[relationship] += sign
    return {
        organization: updates
        for organization in sorted(balance)
        if (updates := _difference(balance[organization]))
    }


def _difference(balance: Counter[Relationship]) -> list[Update]:
    for relationship, count in balance.items():
        if abs(count) > 1:
            raise OverlappingRows(f"{abs(count)} rows stand for {relationship}")
    try:
        return difference(
            before=[relationship for relationship, count in balance.items() if count < 0],
            after=[relationship for relationship, count in balance.items() if count > 0],
        )
    except InvalidRelationship as two_expirations:
        raise OverlappingRows(str(two_expirations)) from two_expirations


def split_into_positions(updates: list[Update]) -> Iterator[list[Update]]:
    """Yield the updates of one transaction by position, in the order in which they must be applied.

    Normally there is one position. Beyond the limit, pure revocations come first. Two kinds of updates
    stay in one position:

    - The updates of a subject that loses some access and gets other access. With two writes, the subject
      would have neither in between.
    - The registration of an object. If SpiceDB learned its creator later, the creator could authorize it
      in between.
    """
    if len(updates) <= UPDATES_PER_POSITION:
        yield updates
        return
    groups: dict[str, list[Update]] = defaultdict(list)
    for update in updates:
        groups[_group_key(update.relationship)].append(update)
    revoking = [group for group in groups.values() if _only_revokes(group)]
    giving = [group for group in groups.values() if not _only_revokes(group)]
    for parts in (_divide_large_groups(revoking), _divide_large_groups(giving)):
        yield from _pack_groups(parts)


def _group_key(relationship: Relationship) -> str:
    """Return the object that the relationship registers, or else its subject."""
    if (
        relationship.resource.type != "organization"
        and relationship.relation in REGISTRATION_RELATIONS
    ):
        return str(relationship.resource)
    return str(relationship.subject)


def _divide_large_groups(groups: list[list[Update]]) -> list[list[Update]]:
    """Return the groups. Each group that may be divided is cut into parts that fit into a position."""
    return [
        part for group in groups for part in (_divide(group) if _may_be_divided(group) else [group])
    ]


def _divide(group: list[Update]) -> list[list[Update]]:
    """Return the updates of a group in parts that fit into a position."""
    at_once = UPDATES_PER_POSITION
    return [group[start : start + at_once] for start in range(0, len(group), at_once)]


def _may_be_divided(group: list[Update]) -> bool:
    """Return whether the group only gives or only takes away, so that nothing replaces anything."""
    return len({isinstance(update, Revocation) for update in group}) == 1


def _only_revokes(group: list[Update]) -> bool:
    return all(isinstance(update, Revocation) for update in group)


def _pack_groups(groups: list[list[Update]]) -> Iterator[list[Update]]:
    position: list[Update] = []
    for group in groups:
        if len(group) > MAX_UPDATES_OF_ONE_SUBJECT:
            raise IndivisibleChange(f"{len(group)} updates of {group[0].relationship.subject}")
        if position and len(position) + len(group) > UPDATES_PER_POSITION:
            yield position
            position = []
        position = [*position, *group]
    if position:
        yield position
