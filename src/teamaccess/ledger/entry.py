"""A decided change on its way to SpiceDB."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from teamaccess.models import LedgerEntry, OrganizationId
from teamaccess.relationships import (
    Relationship,
    Update,
    ledger_position,
    organization,
    parse_update,
)

MARKER_LIFE = timedelta(days=30)


@dataclass(frozen=True)
class Entry:
    """What SpiceDB is told of one ledger position."""

    organization: OrganizationId
    position: int
    hash: bytes
    updates: tuple[Update, ...]
    actor: str
    request_id: str

    @classmethod
    def of(cls, row: LedgerEntry | Row[*tuple[Any, ...]]) -> "Entry":
        """Return the entry as the ledger keeps it; a row may be the columns alone."""
        return cls(
            organization=row.organization_id,
            position=row.position,
            hash=row.hash,
            updates=tuple(parse_update(text) for text in row.updates),
            actor=row.actor,
            request_id=row.request_id,
        )

    def marker(self, now: datetime) -> Relationship:
        """Return the relationship that says this position, with this history, is in SpiceDB.

        It is created, never touched, in the same write as the updates: who tries a second time,
        however late, is refused whole.
        """
        return organization(self.organization).relates(
            "applied",
            ledger_position(self.position, self.hash.hex()),
            until=now + MARKER_LIFE,
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """What SpiceDB's Watch tells of the write; a write without it is not ours."""
        return {
            "teamaccess": {
                "organization": self.organization,
                "positions": [str(self.position)],
                "actor": self.actor,
                "request_id": self.request_id,
            }
        }
