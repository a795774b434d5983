"""What the rows stand for against what SpiceDB holds: compared, mended, and filled anew."""

from teamaccess.upkeep.reconciliation.inspector import Inspector
from teamaccess.upkeep.reconciliation.result import UNASKED, DeleteBudget, ReconcileResult

__all__ = ["UNASKED", "DeleteBudget", "Inspector", "ReconcileResult"]
