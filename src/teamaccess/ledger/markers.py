"""The relationships by which SpiceDB knows how far each organization's ledger has come.

`organization:acme#applied@ledger_position:43-8f14e45fceea[expiration:...]` is created, never touched,
in the same write as the updates of position 43: who sends them a second time, however late, is refused
whole. `organization:acme#head@ledger_position:43-8f14e45fceea` stands for the newest position alone.
A ledger whose newest position is not the head in SpiceDB and a SpiceDB have different histories: one of
them was replaced or restored, and nothing may be judged by the two together.
"""

from datetime import datetime, timedelta

from teamaccess.relationships import Relationship, ledger_position, organization
from teamaccess.storage import OrganizationId

APPLIED = "applied"
HEAD = "head"
LIFE = timedelta(days=30)
"""How late somebody may send a write again and still be refused."""


def applied(id: OrganizationId, position: int, hash: bytes, now: datetime) -> Relationship:
    """Return the marker of one position, for thirty days."""
    place = ledger_position(position, hash.hex())
    return organization(id).relates(APPLIED, place, until=now + LIFE)


def head(id: OrganizationId, position: int, hash: bytes) -> Relationship:
    """Return the marker of the newest position."""
    return organization(id).relates(HEAD, ledger_position(position, hash.hex()))


def is_marker(relationship: Relationship) -> bool:
    """Whether the relationship says how far a ledger has come, and nothing of who may do what."""
    return relationship.subject.object.type == "ledger_position"
