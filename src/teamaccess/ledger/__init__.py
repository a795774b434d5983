"""From a changed row to an enforced relationship, with a record of every step."""

from teamaccess.ledger.apply import Applier
from teamaccess.ledger.attribution import Attribution, OnBehalf
from teamaccess.ledger.change import Change, Receipt, Rehearsal
from teamaccess.ledger.dialect import sqlstate
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import (
    NotCommitted,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
    OutcomeUnknown,
    UnknownOrganization,
)
from teamaccess.ledger.ledger import Ledger
from teamaccess.ledger.relay import Relay
from teamaccess.ledger.session import Sessions, clock, database, sessions

__all__ = [
    "Applier",
    "Attribution",
    "Change",
    "Entry",
    "Ledger",
    "NotCommitted",
    "OnBehalf",
    "OrganizationBusy",
    "OrganizationStopped",
    "OtherHistory",
    "OutcomeUnknown",
    "Receipt",
    "Rehearsal",
    "Relay",
    "Sessions",
    "UnknownOrganization",
    "clock",
    "database",
    "sessions",
    "sqlstate",
]
