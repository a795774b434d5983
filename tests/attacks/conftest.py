"""What attackers need: worlds of their own, a served application, other processes."""

from tests.api.conftest import served
from tests.ledger.conftest import application, owner, superuser
from tests.reconciliation.conftest import apart, ground

__all__ = ["apart", "application", "ground", "owner", "served", "superuser"]
