"""Records each change of access: notes of changed rows, entries, and the hash chains that prove them."""

from teamaccess.ledger.dialect import sqlstate
from teamaccess.ledger.entry import Attribution, Entry, OnBehalf
from teamaccess.ledger.errors import (
    NotCommitted,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
    OutcomeUnknown,
    UnknownOrganization,
)
from teamaccess.ledger.session import Sessions, clock, database, sessions

__all__ = [
    "Attribution",
    "Entry",
    "NotCommitted",
    "OnBehalf",
    "OrganizationBusy",
    "OrganizationStopped",
    "OtherHistory",
    "OutcomeUnknown",
    "Sessions",
    "UnknownOrganization",
    "clock",
    "database",
    "sessions",
    "sqlstate",
]
