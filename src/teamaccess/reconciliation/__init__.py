"""What the rows stand for against what SpiceDB holds: compared, mended, and filled anew."""

from teamaccess.reconciliation.allowance import UNASKED, Allowance
from teamaccess.reconciliation.inspector import Inspector
from teamaccess.reconciliation.rebuild import Rebuilder, Rebuilt
from teamaccess.reconciliation.verdict import Verdict

__all__ = ["UNASKED", "Allowance", "Inspector", "Rebuilder", "Rebuilt", "Verdict"]
