"""API tokens of service accounts, and the keys that make requests idempotent."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import (
    LOCAL_PATTERN,
    Base,
    OrganizationId,
    TokenId,
    UserId,
    readable_json,
    times_in_calendar,
)


class ApiToken(Base):
    """A named API token of a service account, valid in its organization. Only its hash is stored."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        times_in_calendar("created_at", "expires_at", "last_used_at", "people_until", "revoked_at"),
        Index("api_tokens_user_id_idx", "organization_id", "user_id"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    id: Mapped[TokenId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId]
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_by: Mapped[str]
    """The actor who created it, in the ledger's form."""
    people: Mapped[list[UserId] | None] = mapped_column(ARRAY(Text))
    """The people behind it: its creator, and those behind the token with which it was created.

    None for a token from before this was recorded.
    """
    people_until: Mapped[datetime | None]
    """When the first of them loses access to something that the service account can do; None for never.

    It is computed once, when the token is created.
    """
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    def valid(self, at: datetime) -> bool:
        """Return whether the token is neither revoked nor expired at that time."""
        return self.revoked_at is None and self.expires_at > at


class EarlyToken(Base):
    """A token that was used before its time of issue, because the clock of its issuer is ahead.

    A sign-out after its first use ends it, in every process.
    """

    __tablename__ = "early_tokens"
    __table_args__ = (
        times_in_calendar("first_shown_at", "expires_at"),
        Index("early_tokens_expires_at_idx", "expires_at"),
    )

    id: Mapped[bytes] = mapped_column(primary_key=True)
    """A hash of the kind of token and of what identifies it. It is not a secret."""
    first_shown_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    """When the token ends. Then the row can go."""


class IdempotencyKey(Base):
    """The answer to a request with an `Idempotency-Key`, kept for a day. It never contains a secret."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        times_in_calendar("created_at"),
        CheckConstraint("status_code = 0 OR status_code BETWEEN 200 AND 299", name="status_code"),
        CheckConstraint(readable_json("body"), name="body"),
        CheckConstraint(
            "jsonb_typeof(positions) = 'object'"
            " AND NOT jsonb_path_exists(positions, "
            "'$.* ? (@.type() != \"number\" || !(@ >= 0 && @ <= 9007199254740992 && @.floor() == @))')"
            " AND NOT jsonb_path_exists(positions, "
            "'$.keyvalue().key ? (!(@ like_regex \"^[a-z0-9-]+$\"))')",
            name="positions",
        ),
    )

    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    """The hash of method, path and body. The same key with another request is refused."""
    status_code: Mapped[int]
    body: Mapped[dict[str, Any] | None]
    positions: Mapped[dict[str, Any]]
    """The last ledger position that the request made, by organization."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
