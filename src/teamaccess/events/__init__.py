"""What everybody did, tried and was refused, in chains that show when they are altered."""

from teamaccess.events.record import record, record_alone
from teamaccess.events.refusals import RefusalLimits, Refusals

__all__ = ["RefusalLimits", "Refusals", "record", "record_alone"]
