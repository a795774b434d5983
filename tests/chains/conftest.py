"""An organization with a history, and somebody who may do anything to it."""

from tests.ledger.conftest import history, intruder

__all__ = ["history", "intruder"]
