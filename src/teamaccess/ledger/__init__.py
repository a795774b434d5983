"""From a changed row to an enforced relationship, with a record of every step."""

from teamaccess.ledger.apply import Applier, newest_token
from teamaccess.ledger.attribution import Attribution
from teamaccess.ledger.change import Change, Ledger, Receipt
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import (
    OrganizationBusy,
    OrganizationStopped,
    UnknownOrganization,
)
from teamaccess.ledger.session import Sessions, clock, database, sessions

__all__ = [
    "Applier",
    "Attribution",
    "Change",
    "Entry",
    "Ledger",
    "OrganizationBusy",
    "OrganizationStopped",
    "Receipt",
    "Sessions",
    "UnknownOrganization",
    "clock",
    "database",
    "newest_token",
    "sessions",
]
