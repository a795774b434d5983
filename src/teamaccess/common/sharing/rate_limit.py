"""Rate limits: how many requests each caller may send."""

import math
import time
from collections.abc import Hashable

from cachetools import TTLCache

MOST_KEYS = 100_000
"""Callers whose rate is remembered. They take about 20 MB."""
LONGEST_RESERVED_SECONDS = 60.0
"""Seconds for which the turns of a caller are remembered after the newest reservation."""
ROUNDING = 1e-6
"""Seconds by which the sum of the intervals may be wrong."""


class RateLimit:
    """Allows each key `per_second` requests on average, and `burst` at once.

    It is the generic cell rate algorithm. It keeps one number for each key, only as long as it matters.
    """

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 1)
        self._due: TTLCache[Hashable, float] = TTLCache(
            MOST_KEYS, max(LONGEST_RESERVED_SECONDS, 2 * self._tolerance + 2 * self._interval)
        )

    def retry_after(self, key: Hashable, cost: int = 1) -> float:
        """Count `cost` requests for the key and return 0. Beyond the limit, return the seconds to wait.

        Requests beyond the limit are not counted. A cost above `burst` waits no longer than a cost of
        `burst`, but it counts in full.
        """
        if (wait := self._wait(key, cost)) > ROUNDING:
            return wait
        self._count(key, cost)
        return 0.0

    def reserve(self, key: Hashable) -> float:
        """Count one request for the key in any case. Return the seconds until its turn."""
        wait = self._wait(key, 1)
        self._count(key, 1)
        return max(0.0, wait)

    def cancel_reservation(self, key: Hashable) -> None:
        """Count one request less for the key, because a reserved turn was not used."""
        if (due := self._due.get(key)) is not None:
            self._due[key] = due - self._interval

    def charge(self, key: Hashable, seconds: float) -> None:
        """Count more for the key: the next turns come so much later."""
        self._count(key, seconds / self._interval)

    def _wait(self, key: Hashable, cost: int) -> float:
        now = time.monotonic()
        more = min((cost - 1) * self._interval, self._tolerance)
        return max(now, self._due.get(key, now)) + more - self._tolerance - now

    def _count(self, key: Hashable, cost: float) -> None:
        now = time.monotonic()
        self._due[key] = max(now, self._due.get(key, now)) + cost * self._interval


def whole_seconds(wait: float) -> int:
    """Return the wait in whole seconds, at least 1, for the header Retry-After."""
    return max(1, math.ceil(wait))
