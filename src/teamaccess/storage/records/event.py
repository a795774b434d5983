"""Events, and the reasons that people give for changes."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, Self

from sqlalchemy import BigInteger, CheckConstraint, FetchedValue, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import Base, readable_json
from teamaccess.storage.records.ledger import TransactionId

MAX_DETAILS = 262_144
"""Bytes of an event's details as text. The largest list the actions of a role or grants on an object,
and have some kilobytes."""


class Event(Base):
    """An event in a chain of events. PostgreSQL sets its position, time and hash.

    Each organization has a chain. Events of no organization, such as sign-ins, are in the chain `-`.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint(
            "concat(chain, kind, actor, channel, request_id, subject) !~ E'\\n'",
            name="one_line",  # the hash joins its parts with newlines
        ),
        CheckConstraint(
            f"jsonb_typeof(details) = 'object' AND {readable_json('details')}",
            name="details",
        ),
        CheckConstraint(
            f"octet_length(CAST(details AS text)) <= {MAX_DETAILS}"
            " AND octet_length(concat(chain, kind, actor, channel, request_id, subject)) <= 16384",
            name="size",
        ),
        Index("events_chain_occurred_at_idx", "chain", "occurred_at"),
        Index("events_actor_idx", "actor", "occurred_at"),
    )

    PLATFORM = "-"

    chain: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, server_default=FetchedValue()
    )
    kind: Mapped[str]
    actor: Mapped[str]
    channel: Mapped[str]
    request_id: Mapped[str]
    subject: Mapped[str | None]
    """The type and id of the object of the event, such as `user:usr_1` or `invitation:inv_7`."""
    details: Mapped[dict[str, Any]]
    reason_hash: Mapped[bytes | None]
    occurred_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    previous_hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    hash: Mapped[bytes] = mapped_column(server_default=FetchedValue())
    transaction: Mapped[str | None] = mapped_column(
        TransactionId, server_default=func.pg_current_xact_id()
    )
    """The transaction that wrote it. It is not part of the hash, and older rows have none."""


class EventHead(Base):
    """The newest event of one chain."""

    __tablename__ = "event_heads"

    chain: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]


class Reason(Base):
    """A reason as free text, outside of the chains. It can be erased. The chain has its salted hash."""

    __tablename__ = "reasons"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    salt: Mapped[bytes]
    text: Mapped[str]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the reason with a new salt."""
        salt = secrets.token_bytes(16)
        return cls(hash=hashlib.sha256(salt + text.encode()).digest(), salt=salt, text=text)
