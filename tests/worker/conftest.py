"""Connections that know nothing of the application, as the ledger's tests have them."""

from tests.ledger.conftest import application, superuser

__all__ = ["application", "superuser"]
