"""Something that is worth doing once in a while, however often it is asked for."""

import time
from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 100_000


class Throttle:
    """Allows each key once in `seconds`.

    Memory is bounded. A key too many pushes out the key that was allowed the longest ago, and only that
    one, so filling the memory frees nobody else. A limit that must hold whatever is forgotten needs a
    count in PostgreSQL as well.
    """

    def __init__(self, seconds: float, remembered: int = REMEMBERED) -> None:
        self._seconds = seconds
        self._remembered = remembered
        self._allowed: OrderedDict[Hashable, float] = OrderedDict()

    def allows(self, key: Hashable) -> bool:
        """Return whether it is time again, and count from now if it is."""
        now = time.monotonic()
        if now - self._allowed.get(key, -self._seconds) < self._seconds:
            return False
        self._allowed[key] = now
        self._allowed.move_to_end(key)
        if len(self._allowed) > self._remembered:
            self._allowed.popitem(last=False)
        return True
