"""Reconciles the rows with SpiceDB: compares them, and repairs differences."""

from teamaccess.upkeep.reconciliation.inspector import Inspector
from teamaccess.upkeep.reconciliation.result import (
    DEFAULT_MOST_DELETES,
    DeleteBudget,
    ReconcileResult,
)

__all__ = ["DEFAULT_MOST_DELETES", "DeleteBudget", "Inspector", "ReconcileResult"]
