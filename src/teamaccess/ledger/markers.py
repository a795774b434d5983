"""The relationships that tell how far SpiceDB has applied each organization's ledger.

`organization:acme#applied@ledger_position:43-8f14e45fceea[expiration:...]` is the marker of position 43.
It is created, never touched, in the same write as the position's updates. So SpiceDB refuses a second
delivery as a whole, however late it comes.

`organization:acme#head@ledger_position:43-8f14e45fceea` is the head relationship. It exists only for the
newest position. If the ledger's newest position is not the head in SpiceDB, the two have different
histories, because one of them was replaced or restored. Then no decision may rely on both.
"""

from datetime import datetime, timedelta

from teamaccess.relationships import Relationship, ledger_position, organization
from teamaccess.storage import OrganizationId

APPLIED = "applied"
HEAD = "head"
MARKER_LIFETIME = timedelta(days=30)
"""How long SpiceDB refuses a second delivery of a position."""


def position_marker(id: OrganizationId, position: int, hash: bytes, now: datetime) -> Relationship:
    """Return the marker of one position, which expires after thirty days."""
    applied = ledger_position(position, hash.hex())
    return organization(id).relates(APPLIED, applied, until=now + MARKER_LIFETIME)


def head_marker(id: OrganizationId, position: int, hash: bytes) -> Relationship:
    """Return the head relationship of the newest position."""
    return organization(id).relates(HEAD, ledger_position(position, hash.hex()))


def is_marker(relationship: Relationship) -> bool:
    """Return whether the relationship is a marker or a head relationship, which give no access."""
    return relationship.subject.object.type == "ledger_position"
