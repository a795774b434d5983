"""A throttle for work that is worth doing once in a while, however often it is requested."""

import time
from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 100_000


class Throttle:
    """Allows each key once in `seconds`.

    Memory is bounded. Beyond `remembered` keys, each new key displaces the key that was allowed the
    longest ago. So a caller who fills the memory frees only the oldest keys. A limit that must hold for
    forgotten keys too needs a count in PostgreSQL.
    """

    def __init__(self, seconds: float, remembered: int = REMEMBERED) -> None:
        self._seconds = seconds
        self._remembered = remembered
        self._allowed: OrderedDict[Hashable, float] = OrderedDict()

    def allows(self, key: Hashable) -> bool:
        """Return whether the key is allowed now. If it is, its next wait begins."""
        now = time.monotonic()
        if now - self._allowed.get(key, -self._seconds) < self._seconds:
            return False
        self._allowed[key] = now
        self._allowed.move_to_end(key)
        if len(self._allowed) > self._remembered:
            self._allowed.popitem(last=False)
        return True
