"""What the rows stand for against what SpiceDB holds: compared, mended, and filled anew."""

from teamaccess.reconciliation.allowance import UNASKED, Allowance
from teamaccess.reconciliation.rebuild import Rebuilder, Rebuilt
from teamaccess.reconciliation.reconcile import Reconciler
from teamaccess.reconciliation.verdict import Verdict

__all__ = ["UNASKED", "Allowance", "Rebuilder", "Rebuilt", "Reconciler", "Verdict"]
