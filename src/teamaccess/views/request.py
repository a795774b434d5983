"""The base of all request bodies, and their common fields."""

from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.common.formats.times import Instant
from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON
from teamaccess.directory.users.find import LONGEST_USER_REFERENCE
from teamaccess.storage.base import LONGEST_LOCAL_ID

Reason = Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
RoleReference = Annotated[str, Meta(min_length=1, max_length=64)]
LocalId = Annotated[str, Meta(min_length=1, max_length=LONGEST_LOCAL_ID)]
UserReference = Annotated[str, Meta(min_length=1, max_length=LONGEST_USER_REFERENCE)]
"""A member's id, e-mail address or external id. `external:` before it names an external id only."""

MOST_IN_BATCH = 500
"""Grants, or places in teams, in one request. They fit one position of the ledger."""


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request body. Unknown fields are refused."""


class WithExpiry(Request):
    """A body with an optional expiry."""

    expires_at: Instant | None = None
