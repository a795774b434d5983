"""ETag and If-Match: a caller replaces only the state that they have read.

This is the one place that compares them. A route that takes `If-Match` first calls its use case, and then
`refuse_changed` with the ETag of the state before.

SECURITY: the order matters. An actor who may not make the change must get the use case's refusal, and
must not learn from a 412 whether their ETag is current. The change is not committed yet, so the error
rolls it back.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from litestar.params import HeaderParameter

from teamaccess.common.errors import PreconditionFailed
from teamaccess.storage import RoleId

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]


def etag(state: object) -> str:
    """Return the ETag of a state. It is a hash of the state's `repr`."""
    return f'"{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"'


def etag_of_roles(ends: Mapping[RoleId, datetime | None]) -> str:
    """Return the ETag of the roles of a member or a team, with their expiries."""
    return etag(sorted(f"{role} {end}" for role, end in ends.items()))


def refuse_changed(
    if_match: str | None, before: str, refusal: type[PreconditionFailed], **facts: str
) -> None:
    """Raise `refusal` if there is a condition and the ETag `before` does not meet it."""
    if not matches(if_match, before):
        raise refusal(**facts)


def matches(if_match: str | None, tag: str) -> bool:
    """Return whether `tag` meets the condition. No condition and `*` are always met."""
    return if_match is None or bool({"*", tag} & {each.strip() for each in if_match.split(",")})
