"""The evidence of an answer: with it, anybody can ask again and compare the results."""

from datetime import datetime
from typing import Any

import msgspec

from teamaccess.audit.state.snapshot import Snapshot
from teamaccess.catalog import Catalog


def query(question: str, **parameters: object) -> dict[str, str]:
    """Return a question with its parameters. Parameters that are None are left out."""
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return {"question": question, **given}


class Evidence(msgspec.Struct, frozen=True):
    """The question, when it was asked, and the state of the organization that the answer is about."""

    query: dict[str, str]
    """The question and its parameters."""
    organization: str
    asked_at: datetime
    at: datetime
    """The time that the answer is about: when the engine had answered, or the past time asked about."""
    position: int
    """The position in the organization's ledger. The answer includes every change up to it."""
    hash: str
    """The hash of that ledger entry, in hex. It stands for the whole history before it."""
    catalog: str
    """The version of the access model."""
    rows: int
    """The number of rows in the answer, which is always complete."""
    unexplained: int
    """Rows that SpiceDB has and the ledger does not explain: somebody wrote to SpiceDB directly."""
    missing: int
    """Rows that the ledger has and SpiceDB does not have. The answer leaves them out."""

    @classmethod
    def of(
        cls, snapshot: Snapshot[Any], catalog: Catalog, query: dict[str, str], **counts: int
    ) -> "Evidence":
        """Return the evidence of an answer from a snapshot."""
        moment = snapshot.moment
        past = {} if moment is None else {"at": snapshot.now.isoformat(), "basis": moment.basis}
        return cls(
            query=query | past,
            organization=snapshot.ledger_position.organization,
            asked_at=snapshot.asked_at,
            at=snapshot.now,
            position=snapshot.ledger_position.position,
            hash=snapshot.ledger_position.hash.hex(),
            catalog=catalog.version,
            **counts,
        )
