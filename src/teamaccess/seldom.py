"""Something that is worth doing once in a while, however often it is asked for."""

import time
from collections.abc import Hashable

REMEMBERED = 100_000


class Seldom:
    """Says yes to the same key once in `seconds`; what it has forgotten it allows."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._allowed: dict[Hashable, float] = {}

    def allows(self, key: Hashable) -> bool:
        """Return whether it is time again, and count from now if it is."""
        now = time.monotonic()
        if now - self._allowed.get(key, -self._seconds) < self._seconds:
            return False
        if len(self._allowed) >= REMEMBERED:
            self._allowed.clear()
        self._allowed[key] = now
        return True
