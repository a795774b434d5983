"""Events: what people did, and what they were refused."""

from teamaccess.changes.events.kind import EventDetails, EventKind
from teamaccess.changes.events.record import record, record_alone
from teamaccess.changes.events.refusals import RefusalLimits, Refusals

__all__ = ["EventDetails", "EventKind", "RefusalLimits", "Refusals", "record", "record_alone"]
