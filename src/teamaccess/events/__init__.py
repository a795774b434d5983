"""What everybody did, tried and was refused, in chains that show when they are altered."""

from teamaccess.events.record import Refusals, record, record_alone

__all__ = ["Refusals", "record", "record_alone"]
