"""The difference between what one organization's rows stand for and what SpiceDB holds of it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from teamaccess.catalog import Catalog
from teamaccess.relationships import InvalidRelationship, Purge, Relationship, Restore, Update
from teamaccess.storage import OrganizationId, RelationshipSource

EXAMPLES = 100
"""How many differences of a kind are kept in a finding."""


class Differing(NamedTuple):
    """A relationship that both sides have, with another end."""

    meant: Relationship
    held: str


@dataclass
class Comparison:
    """How SpiceDB differs from the rows of one organization, all judged at one instant."""

    organization: OrganizationId
    compared: int = 0
    """How many relationships were looked at."""
    missing: list[Relationship] = field(default_factory=list)
    """A row stands for it, and SpiceDB lacks it."""
    extra: list[Relationship] = field(default_factory=list)
    """SpiceDB has it, and no row stands for it, though one could."""
    differing: list[Differing] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """SpiceDB has it, and no row of any table could stand for it."""

    @property
    def differences(self) -> int:
        """How many there are."""
        return len(self.missing) + len(self.extra) + len(self.differing) + len(self.foreign)

    def found(self, text: str, catalog: Catalog, now: datetime) -> None:
        """Take in what SpiceDB holds and no row stands for, unless it has ended."""
        relationship = parsed(text)
        if relationship and relationship.expired(now):
            return
        if relationship and could_be_made(relationship, catalog):
            self.extra.append(relationship)
        else:
            self.foreign.append(text)

    def deletes(self, catalog: Catalog) -> list[Update]:
        """Return what must go from SpiceDB, as far as the schema has a place for it."""
        foreign = [
            each for text in self.foreign if (each := parsed(text)) and catalog.schema_allows(each)
        ]
        return [Purge(each) for each in sorted([*self.extra, *foreign])]

    def touches(self) -> list[Update]:
        """Return what must come back to SpiceDB."""
        back = [*self.missing, *(each.meant for each in self.differing)]
        return [Restore(each) for each in sorted(back)]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {kind: len(all_of_it) for kind, all_of_it in self.told().items() if all_of_it}

    def details(self) -> dict[str, Any]:
        """Return what a finding keeps: some of each kind, how many there are, and a hash of all."""
        told = self.told()
        digest = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        some = {kind: all_of_it[:EXAMPLES] for kind, all_of_it in told.items() if all_of_it}
        return {**some, "counts": self.counts, "digest": digest}

    def told(self) -> dict[str, list[Any]]:
        """Return all differences as text, in order."""
        return {
            "missing": sorted(map(str, self.missing)),
            "extra": sorted(map(str, self.extra)),
            "different_expiration": sorted(
                [{"meant": str(each.meant), "held": each.held} for each in self.differing],
                key=lambda each: each["held"],
            ),
            "foreign": sorted(self.foreign),
        }


def could_be_made(relationship: Relationship, catalog: Catalog) -> bool:
    """Return whether a row of some table could stand for it."""
    makers = RelationshipSource.tables().values()
    return any(each.can_represent(relationship, catalog) for each in makers)


def parsed(text: str) -> Relationship | None:
    """Return the relationship, None for one that our vocabulary has no words for."""
    try:
        return Relationship.parse(text)
    except InvalidRelationship:
        return None
