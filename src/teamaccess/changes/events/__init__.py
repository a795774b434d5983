"""Events: what people did, tried and were refused."""

from teamaccess.changes.events.record import record, record_alone
from teamaccess.changes.events.refusals import RefusalLimits, Refusals

__all__ = ["RefusalLimits", "Refusals", "record", "record_alone"]
