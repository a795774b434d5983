"""From what PostgreSQL noted of the rows to the updates that they mean."""

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
"""SpiceDB takes 1,000 updates a write, markers included; this leaves room for them."""

UPDATES_IN_ANY_CASE = 997
"""Of one subject, whose updates stay together: the limit and what marks the position."""

REGISTERED_AS = ("organization", "creator")
"""What an object is registered as: relations of the object's that give nobody anything."""

Image = Mapping[str, Any]
"""A row as PostgreSQL's `to_jsonb` shows it."""


class Note(NamedTuple):
    """The rows of a source table before and after one statement."""

    source: str
    before: Sequence[Image]
    after: Sequence[Image]


def net_updates(notes: Iterable[Note]) -> dict[OrganizationId, list[Update]]:
    """Return what the notes of one transaction come to, by organization in the order of ids.

    A row's intermediate images are among the `after` of one note and the `before` of the next, so in
    the sum over all notes they cancel, and what remains is each row's first old image against its last
    new one, whatever the order of the notes and even where keys have changed (docs/decisions/0001).
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
    except InvalidRelationship as two_ends:
        raise OverlappingRows(str(two_ends)) from two_ends


def split_into_positions(updates: list[Update]) -> Iterator[list[Update]]:
    """Divide the updates of one transaction into positions, in the order they must be applied.

    Normally there is one. Beyond the limit pure revocations come first, and what belongs together
    stays together: where a subject loses something and gets something else (deleting a role in one
    write and giving the next in another would deny everything in between), and what an object is
    registered as (without its creator it would be theirs to authorize in between).
    """
    if len(updates) <= UPDATES_PER_POSITION:
        yield updates
        return
    together: dict[str, list[Update]] = defaultdict(list)
    for update in updates:
        together[_belongs_to(update.relationship)].append(update)
    revoking = [group for group in together.values() if _only_revokes(group)]
    giving = [group for group in together.values() if not _only_revokes(group)]
    for groups in (_parts(revoking), _parts(giving)):
        yield from _packed(groups)


def _belongs_to(relationship: Relationship) -> str:
    """Return the object that it registers, or else its subject."""
    if relationship.resource.type != "organization" and relationship.relation in REGISTERED_AS:
        return str(relationship.resource)
    return str(relationship.subject)


def _parts(groups: list[list[Update]]) -> list[list[Update]]:
    """Return the groups, those in parts that are too large for a position and may be divided."""
    return [
        part
        for group in groups
        for part in (_divided(group) if _may_be_divided(group) else [group])
    ]


def _divided(group: list[Update]) -> list[list[Update]]:
    """Return the updates in parts that fit into a position."""
    at_once = UPDATES_PER_POSITION
    return [group[start : start + at_once] for start in range(0, len(group), at_once)]


def _may_be_divided(group: list[Update]) -> bool:
    """Whether nothing in it takes the place of something else."""
    return len({isinstance(update, Revocation) for update in group}) == 1


def _only_revokes(group: list[Update]) -> bool:
    return all(isinstance(update, Revocation) for update in group)


def _packed(groups: list[list[Update]]) -> Iterator[list[Update]]:
    position: list[Update] = []
    for group in groups:
        if len(group) > UPDATES_IN_ANY_CASE:
            raise IndivisibleChange(f"{len(group)} updates of {group[0].relationship.subject}")
        if position and len(position) + len(group) > UPDATES_PER_POSITION:
            yield position
            position = []
        position = [*position, *group]
    if position:
        yield position
