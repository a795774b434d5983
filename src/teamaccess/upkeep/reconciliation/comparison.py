"""The differences between the rows of one organization and the relationships in SpiceDB."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from teamaccess.catalog import Catalog
from teamaccess.relationships import InvalidRelationship, Purge, Relationship, Restore, Update
from teamaccess.storage import OrganizationId, RelationshipSource

EXAMPLES = 100
"""The most differences of one kind in a finding."""


class ExpiryDifference(NamedTuple):
    """A relationship that both sides have, with different expiries."""

    expected: Relationship
    held: str


@dataclass
class Comparison:
    """How SpiceDB differs from the rows of one organization at one instant."""

    organization: OrganizationId
    compared: int = 0
    """The number of relationships that SpiceDB holds."""
    missing: list[Relationship] = field(default_factory=list)
    """Relationships of rows that SpiceDB lacks."""
    extra: list[Relationship] = field(default_factory=list)
    """Relationships in SpiceDB that a row could make, and no row makes."""
    differing: list[ExpiryDifference] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Relationships in SpiceDB that no row of any table could make."""

    @property
    def differences(self) -> int:
        """The number of differences."""
        return len(self.missing) + len(self.extra) + len(self.differing) + len(self.foreign)

    def add_unmatched(self, text: str, catalog: Catalog, now: datetime) -> None:
        """Add a relationship that SpiceDB holds and no row makes, unless it has expired."""
        relationship = parse_or_none(text)
        if relationship and relationship.expired(now):
            return
        if relationship and some_row_could_make(relationship, catalog):
            self.extra.append(relationship)
        else:
            self.foreign.append(text)

    def deletes(self, catalog: Catalog) -> list[Update]:
        """Return the deletes that a repair needs, for relationships that the schema allows."""
        foreign = [
            each
            for text in self.foreign
            if (each := parse_or_none(text)) and catalog.schema_allows(each)
        ]
        return [Purge(each) for each in sorted([*self.extra, *foreign])]

    def touches(self) -> list[Update]:
        """Return the writes that a repair needs."""
        back = [*self.missing, *(each.expected for each in self.differing)]
        return [Restore(each) for each in sorted(back)]

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of differences of each kind, without kinds that have none."""
        return {kind: len(of_kind) for kind, of_kind in self.as_texts().items() if of_kind}

    def details(self) -> dict[str, Any]:
        """Return the details of a finding: examples and counts of each kind, and a hash of all."""
        texts = self.as_texts()
        digest = sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
        some = {kind: of_kind[:EXAMPLES] for kind, of_kind in texts.items() if of_kind}
        return {**some, "counts": self.counts, "digest": digest}

    def as_texts(self) -> dict[str, list[Any]]:
        """Return all differences as sorted text, by kind."""
        return {
            "missing": sorted(map(str, self.missing)),
            "extra": sorted(map(str, self.extra)),
            "different_expiration": sorted(
                [{"meant": str(each.expected), "held": each.held} for each in self.differing],
                key=lambda each: each["held"],
            ),
            "foreign": sorted(self.foreign),
        }


def some_row_could_make(relationship: Relationship, catalog: Catalog) -> bool:
    """Return whether a row of some table could make the relationship."""
    makers = RelationshipSource.tables().values()
    return any(each.can_represent(relationship, catalog) for each in makers)


def parse_or_none(text: str) -> Relationship | None:
    """Return the relationship; None if it is not in our vocabulary."""
    try:
        return Relationship.parse(text)
    except InvalidRelationship:
        return None
