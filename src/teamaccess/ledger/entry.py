"""A ledger entry on its way to SpiceDB."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from teamaccess.ledger.markers import head_marker, position_marker
from teamaccess.relationships import Delete, Relationship, Touch, Update, parse_update
from teamaccess.storage import LedgerEntry, OrganizationId


@dataclass(frozen=True)
class Entry:
    """The part of one ledger entry that SpiceDB receives."""

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
        """Return the entry of a row, which may consist of the columns only.

        `updates` replaces the row's updates. Without it, unreadable updates raise InvalidRelationship.
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
        """Return the marker. It says that SpiceDB has this position with this history."""
        return position_marker(self.organization, self.position, self.hash, now)

    def head_updates(self, since: "Entry") -> tuple[Update, ...]:
        """Return the updates that make this position the head, in a write that begins with `since`."""
        newest = Touch(head_marker(self.organization, self.position, self.hash))
        if since.position == 1:
            return (newest,)
        before = head_marker(self.organization, since.position - 1, since.previous_hash)
        return (Delete(before), newest)

    @property
    def origin(self) -> dict[str, Any]:
        """The position as SpiceDB's Watch reports it. A write that names no position is foreign."""
        return {
            "organization": self.organization,
            "position": str(self.position),
            "actor": self.actor,
            "request_id": self.request_id,
        }
