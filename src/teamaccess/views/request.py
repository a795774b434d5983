"""The base of all request bodies, and their common fields."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON
from teamaccess.directory.users.find import LONGEST_USER_REFERENCE
from teamaccess.storage.base import LONGEST_LOCAL_ID

Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
RoleReference = Annotated[str, Meta(min_length=1, max_length=64)]
LocalId = Annotated[str, Meta(min_length=1, max_length=LONGEST_LOCAL_ID)]
UserReference = Annotated[str, Meta(min_length=1, max_length=LONGEST_USER_REFERENCE)]
"""A member's id, e-mail address or external id. `external:` before it names an external id only."""
Instant = Annotated[datetime, Meta(tz=True)]

MOST_IN_BATCH = 500
"""Grants, or places in teams, in one request. They fit one position of the ledger."""

INFINITY = datetime.max.replace(tzinfo=UTC)
"""The database driver writes this time as PostgreSQL's `infinity`, so it cannot be stored as a time."""


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request body. Unknown fields are refused."""


class WithExpiry(Request):
    """A body with an optional expiry."""

    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        """Convert the expiry to UTC. Raises ValueError, so the body is invalid, if it is too late."""
        if self.expires_at is not None:
            try:
                self.expires_at = self.expires_at.astimezone(UTC)
            except OverflowError:
                self.expires_at = INFINITY
            if self.expires_at == INFINITY:
                raise ValueError("This time is beyond the calendar")
