"""Records each change of access: notes of changed rows, ledger entries, and their hash chains."""

from teamaccess.common.postgres.connect import sqlstate
from teamaccess.ledger.entry import Attribution, Entry, OnBehalf
from teamaccess.ledger.errors import (
    NotCommitted,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
    OutcomeUnknown,
    UnknownOrganization,
)
from teamaccess.ledger.session import Sessions, create_pool, database_time, session_maker

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
    "create_pool",
    "database_time",
    "session_maker",
    "sqlstate",
]
