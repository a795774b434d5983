"""What requests have in common."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON

Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
RoleName = Annotated[str, Meta(min_length=1, max_length=64)]
LocalName = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]

INFINITY = datetime.max.replace(tzinfo=UTC)
"""What the driver writes as PostgreSQL's `infinity`, so that it is no time any more."""


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Something sent to us; a field that we do not know is a mistake, not a wish."""


class WithEnd(Request):
    """Something that may end at a time."""

    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        """Keep the end in UTC; raises ValueError, which is a mistake in the body, where it has none."""
        if self.expires_at is not None:
            try:
                self.expires_at = self.expires_at.astimezone(UTC)
            except OverflowError:
                self.expires_at = INFINITY
            if self.expires_at == INFINITY:
                raise ValueError("This time is beyond the calendar")
