"""What PostgreSQL noted of source rows' changes, until the ledger has taken it up."""

from typing import Any

from sqlalchemy import BigInteger, Identity, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from teamaccess.models.base import Base


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's `xid8`, the id of a transaction."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in SQL."""
        return "xid8"


class LedgerNote(Base):
    """The rows of a source table before and after one statement. No committed transaction leaves one."""

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
