"""Events: records of what callers did and were refused."""

from teamaccess.changes.events.record import record, record_alone
from teamaccess.changes.events.refusals import RefusalLimits, Refusals

__all__ = ["RefusalLimits", "Refusals", "record", "record_alone"]
