"""The same connections as the ledger's tests have."""

from tests.ledger.conftest import superuser

__all__ = ["superuser"]
