"""Events: what people did, and what they were refused."""

from teamaccess.changes.events.record import (
    EventDetails,
    EventKind,
    record,
    record_alone,
    record_each,
)
from teamaccess.changes.events.refusals import RefusalLimits, Refusals

__all__ = [
    "EventDetails",
    "EventKind",
    "RefusalLimits",
    "Refusals",
    "record",
    "record_alone",
    "record_each",
]
