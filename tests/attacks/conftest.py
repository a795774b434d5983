"""Where attackers stand: beside the running product, with a stolen key or a stolen password."""

from tests.chains.conftest import history, intruder
from tests.ledger.conftest import application, owner, superuser
from tests.reconciliation.conftest import apart, ground
from tests.worker.conftest import worker

__all__ = [
    "apart",
    "application",
    "ground",
    "history",
    "intruder",
    "owner",
    "superuser",
    "worker",
]
