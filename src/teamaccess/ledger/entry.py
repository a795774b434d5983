"""A decided change on its way to SpiceDB."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from teamaccess.ledger.markers import applied, head
from teamaccess.relationships import Delete, Relationship, Touch, Update, parse_update
from teamaccess.storage import LedgerEntry, OrganizationId


@dataclass(frozen=True)
class Entry:
    """What SpiceDB is told of one ledger position."""

    organization: OrganizationId
    position: int
    hash: bytes
    previous_hash: bytes
    updates: tuple[Update, ...]
    actor: str
    request_id: str

    @classmethod
    def of(
        cls, row: LedgerEntry | Row[*tuple[Any, ...]], updates: tuple[Update, ...] | None = None
    ) -> "Entry":
        """Return the entry as the ledger keeps it; a row may be the columns alone.

        Raises InvalidRelationship for updates that nobody can read, unless others are given instead.
        """
        if updates is None:
            updates = tuple(parse_update(text) for text in row.updates)
        return cls(
            organization=row.organization_id,
            position=row.position,
            hash=row.hash,
            previous_hash=row.previous_hash,
            updates=updates,
            actor=row.actor,
            request_id=row.request_id,
        )

    def marker(self, now: datetime) -> Relationship:
        """Return the relationship that says this position, with this history, is in SpiceDB."""
        return applied(self.organization, self.position, self.hash, now)

    def head_updates(self, since: "Entry") -> tuple[Update, ...]:
        """Return what makes this position the newest one, in a write that began with `since`."""
        newest = Touch(head(self.organization, self.position, self.hash))
        if since.position == 1:
            return (newest,)
        before = head(self.organization, since.position - 1, since.previous_hash)
        return (Delete(before), newest)

    @property
    def origin(self) -> dict[str, Any]:
        """What SpiceDB's Watch tells of the position; a write that names none is not ours."""
        return {
            "organization": self.organization,
            "position": str(self.position),
            "actor": self.actor,
            "request_id": self.request_id,
        }
