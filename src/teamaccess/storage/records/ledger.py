"""The ledger's entries, their delivery status, and notes of changed rows."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from teamaccess.storage.base import Base, OrganizationId, times_in_calendar

MAX_UPDATES = 997
"""The most updates of one entry. With the three updates that mark it, they fill a write to SpiceDB."""


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's type `xid8`, the id of a transaction."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "xid8"


class LedgerNote(Base):
    """The rows of a source table before and after one statement. A commit never leaves a note."""

    __tablename__ = "ledger_notes"
    __table_args__ = (
        Index("ledger_notes_transaction_idx", "transaction"),
        {"prefixes": ["UNLOGGED"]},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction: Mapped[str] = mapped_column(
        TransactionId, server_default=func.pg_current_xact_id()
    )
    source: Mapped[str]
    before: Mapped[list[Any]] = mapped_column(JSONB)
    after: Mapped[list[Any]] = mapped_column(JSONB)


class Channel(StrEnum):
    """The channel through which a change came."""

    API = "api"
    DASHBOARD = "dashboard"
    OPERATOR = "operator"
    SYSTEM = "system"


class LedgerEntry(Base):
    """One entry of an organization's ledger. PostgreSQL sets its position, time and hash.

    The hash reveals an altered, missing or reordered entry. No column has free text. A reason is in the
    table `reasons`, where it can be erased, and the entry has only its salted hash.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint(
            "concat(actor, channel, request_id, catalog_version, array_to_string(updates, '')) !~ E'\\n'",
            name="one_line",  # the hash joins its parts with newlines
        ),
        CheckConstraint(
            "coalesce(array_ndims(updates), 0) = 1 AND array_position(updates, NULL) IS NULL",
            name="updates",  # the hash ignores NULLs and dimensions, so they are refused
        ),
        CheckConstraint(
            f"cardinality(updates) <= {MAX_UPDATES}"
            " AND octet_length(array_to_string(updates, '')) <= 4194304",
            name="size",
        ),
        Index("ledger_decided_at_idx", "decided_at"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    position: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=FetchedValue()
    )
    updates: Mapped[list[str]] = mapped_column(ARRAY(Text, dimensions=1))
    actor: Mapped[str]
    channel: Mapped[str]
    request_id: Mapped[str]
    catalog_version: Mapped[str]
    reason_hash: Mapped[bytes | None]
    decided_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    previous_hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    transaction: Mapped[str | None] = mapped_column(
        TransactionId, server_default=func.pg_current_xact_id()
    )
    """The transaction that wrote it. It is not part of the hash, and older rows have none."""


class ApplicationStatus(StrEnum):
    """The delivery status of an entry."""

    PENDING = "pending"
    APPLIED = "applied"
    REFUSED = "refused"
    SKIPPED = "skipped"
    """An operator skipped a refused entry: SpiceDB has its marker, but not its updates."""


DONE = (ApplicationStatus.APPLIED, ApplicationStatus.SKIPPED)
"""The statuses that need no further attempt."""


class LedgerApplication(Base):
    """The delivery of one entry to SpiceDB. PostgreSQL inserts it with the entry."""

    __tablename__ = "ledger_applications"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "position"], ["ledger.organization_id", "ledger.position"]
        ),
        Index(
            "ledger_applications_open_idx",
            "organization_id",
            "position",
            postgresql_where="status NOT IN ('applied', 'skipped')",
        ),
        times_in_calendar("due_at", "enforced_at"),
        CheckConstraint("status IN ('pending', 'applied', 'refused', 'skipped')", name="status"),
        CheckConstraint("attempts >= 0 AND attempts <= 1000000", name="attempts"),
        Index("ledger_applications_due_idx", "due_at", postgresql_where="status = 'pending'"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(server_default=ApplicationStatus.PENDING)
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(
        server_default=text("(clock_timestamp() + '00:00:03'::interval)")
    )
    """When a worker may claim it. Until then, the request that made it, or another worker, is trying."""
    zed_token: Mapped[str | None]
    enforced_at: Mapped[datetime | None]
    refusal: Mapped[str | None]


class LedgerHead(Base):
    """The newest position of one organization. A lock on this row locks the organization."""

    __tablename__ = "ledger_heads"

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    hash: Mapped[bytes]
    decided_at: Mapped[datetime]
