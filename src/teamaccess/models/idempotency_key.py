"""The answer to a request that may be sent again."""

from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class IdempotencyKey(Base):
    """What a request with an `Idempotency-Key` was answered, for a day. It never holds a secret."""

    __tablename__ = "idempotency_keys"

    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    """The hash of method, path and body: the same key with another request is a mistake."""
    status_code: Mapped[int]
    body: Mapped[dict[str, Any] | None]
    positions: Mapped[dict[str, Any]]
    """The last ledger position that it made in each organization."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
