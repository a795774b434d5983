"""What everybody did, tried and was refused, in chains that show when they are altered."""

from teamaccess.events.record import record, record_alone

__all__ = ["record", "record_alone"]
