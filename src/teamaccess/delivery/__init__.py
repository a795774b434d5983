"""Delivers ledger entries to SpiceDB, each once and in order."""

from teamaccess.delivery.applier import Applier
from teamaccess.delivery.relay import Relay

__all__ = ["Applier", "Relay"]
