"""ETag and If-Match: a caller can only replace the state that they have read."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from litestar.params import HeaderParameter

from teamaccess.storage import HeldRole

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]


def etag(held: Iterable[HeldRole]) -> str:
    """Return the ETag of held roles with their expiries."""
    roles = sorted(f"{each.role} {each.expires_at}" for each in held)
    return f'"{hashlib.sha256(repr(roles).encode()).hexdigest()[:16]}"'


def matches(if_match: str | None, tag: str) -> bool:
    """Return whether `tag` meets the condition. No condition and `*` are always met."""
    return if_match is None or bool({"*", tag} & {each.strip() for each in if_match.split(",")})
