"""ETag and If-Match: a caller replaces only the state that they have read.

This is the one place that compares them. A route that takes `If-Match` calls its use case first, and then
`refuse_changed` with the state before.

SECURITY: in this order, because an actor who may not make the change must get the refusal of the use
case, and must not learn from 412 whether their tag is the present one. The change is not committed yet,
and an error rolls it back.
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
    """Return the ETag of a state, which is named by its `repr`."""
    return f'"{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"'


def etag_of_roles(ends: Mapping[RoleId, datetime | None]) -> str:
    """Return the ETag of the roles that a member or a team holds, and of their ends."""
    return etag(sorted(f"{role} {end}" for role, end in ends.items()))


def refuse_changed(
    if_match: str | None, before: str, refusal: type[PreconditionFailed], **facts: str
) -> None:
    """Raise the refusal, unless the ETag `before` matches or there is no condition."""
    if not matches(if_match, before):
        raise refusal(**facts)


def matches(if_match: str | None, tag: str) -> bool:
    """Return whether the condition is met, or there is none. `*` stands for every state."""
    return if_match is None or bool({"*", tag} & {each.strip() for each in if_match.split(",")})
