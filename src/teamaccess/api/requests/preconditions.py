"""ETag and If-Match: nobody replaces what they have not seen."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from litestar.params import HeaderParameter

from teamaccess.storage import HeldRole

IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200)]


def etag(held: Iterable[HeldRole]) -> str:
    """Return the ETag of roles that somebody holds, and of their ends."""
    told = sorted(f"{each.role} {each.expires_at}" for each in held)
    return f'"{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}"'


def matches(if_match: str | None, tag: str) -> bool:
    """Return whether the condition is met, or there is none. `*` means any state there is."""
    return if_match is None or bool({"*", tag} & {each.strip() for each in if_match.split(",")})
