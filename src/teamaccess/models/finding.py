"""Something in SpiceDB that no change of ours explains."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class FindingKind(StrEnum):
    """How it came to light."""

    DRIFT = "drift"
    """Comparing an organization's rows with SpiceDB found differences."""
    FOREIGN_WRITE = "foreign_write"
    """SpiceDB told of a write that is no position of a ledger: somebody goes round us."""
    OTHER_HISTORY = "other_history"
    """SpiceDB is not where the ledger says it is: it was replaced or restored, or the ledger was."""


class Finding(Base):
    """One finding, open until somebody has dealt with it; the same one found again is no new one."""

    __tablename__ = "findings"
    __table_args__ = (
        Index("findings_open_idx", "found_at", postgresql_where="resolved_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    organization_id: Mapped[str | None]
    """The organization it is about, perhaps one that only SpiceDB knows."""
    fingerprint: Mapped[bytes] = mapped_column(unique=True)
    details: Mapped[dict[str, Any]]
    found_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    resolved_at: Mapped[datetime | None]
