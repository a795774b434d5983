"""Opens, authorizes and commits changes of access."""

from teamaccess.changes.change import Change, OrganizationChange, Receipt, Rehearsal
from teamaccess.changes.ledger import Ledger

__all__ = ["Change", "Ledger", "OrganizationChange", "Receipt", "Rehearsal"]
