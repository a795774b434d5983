"""What makes an answer evidence: anybody can ask again, and see whether the same comes out."""

from datetime import datetime
from typing import Any

import msgspec

from teamaccess.audit.state.view import View
from teamaccess.catalog import Catalog


def query(question: str, **about: object) -> dict[str, str]:
    """Return a question with its parameters; those that are None were not given."""
    given = {name: str(value) for name, value in about.items() if value is not None}
    return {"question": question, **given}


class Evidence(msgspec.Struct, frozen=True):
    """What was asked, when, and which state of which organization the answer is about."""

    query: dict[str, str]
    """The question and its parameters."""
    organization: str
    asked_at: datetime
    at: datetime
    """The time that the answer is about: when the engine had answered, or the past one asked for."""
    position: int
    """Of the organization's ledger: every change up to it, and none after it."""
    hash: str
    """Of that entry, in hex; it stands for the whole history before it."""
    catalog: str
    """The version of the access model."""
    rows: int
    """How many the answer has: all of them."""
    unexplained: int
    """Rows that SpiceDB has and the ledger does not explain: somebody has gone round it."""
    missing: int
    """Rows that the ledger says and SpiceDB does not have, which are left out."""

    @classmethod
    def of(
        cls, view: View[Any], catalog: Catalog, query: dict[str, str], **counts: int
    ) -> "Evidence":
        """Return the evidence of an answer from a view."""
        then = (
            {} if view.moment is None else {"at": view.now.isoformat(), "basis": view.moment.basis}
        )
        return cls(
            query=query | then,
            organization=view.standing.organization,
            asked_at=view.asked_at,
            at=view.now,
            position=view.standing.position,
            hash=view.standing.hash.hex(),
            catalog=catalog.version,
            **counts,
        )
