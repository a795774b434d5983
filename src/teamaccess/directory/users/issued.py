"""When a token was issued, judged by PostgreSQL's clock."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

from teamaccess.common.errors import Unauthenticated

MOST_AHEAD = timedelta(seconds=2)
"""How far the clock of whoever issues tokens may be ahead of PostgreSQL's."""

MOST_REMEMBERED = 10_000
"""Early tokens that one process remembers."""


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, revoked, or from before a sign-out; `cause` says which."""

    message = "The access token is not valid ({cause}). Sign in again."


AHEAD = "its time of issue is ahead of our clock: the clock of whoever issued it has to be set"


async def wait_until_issued(issued_at: datetime, now: datetime) -> bool:
    """Return once the time of issue has come, and whether that took waiting.

    SECURITY: sessions are ended at a time, and tokens that were issued before are refused. A token from
    a clock that is ahead would be taken for a later one. So no token is accepted before the time at
    which it says that it was issued: whatever was in use before a sign-out is older than the sign-out.
    Clocks are a little ahead, so up to two seconds are waited for. Raises InvalidToken for more.

    Read the user again after waiting: the sessions may have been ended meanwhile.
    """
    ahead = issued_at - now
    if ahead <= timedelta(0):
        return False
    if ahead > MOST_AHEAD:
        raise InvalidToken(cause=AHEAD)
    await asyncio.sleep(ahead.total_seconds())
    return True


class EarlyTokens:
    """When tokens were first shown that say that they were issued later.

    SECURITY: a token that was here at a time was issued by then, whatever it says. So a sign-out between
    its first use and its time of issue ends it as well. Each process remembers what it has seen itself.
    """

    def __init__(self) -> None:
        self._shown: OrderedDict[Hashable, datetime] = OrderedDict()

    def issued(self, token: Hashable, issued_at: datetime, now: datetime) -> datetime:
        """Return the time by which a token was issued: what it says, or when it was shown first."""
        if issued_at > now:
            self._shown.setdefault(token, now)
            if len(self._shown) > MOST_REMEMBERED:
                self._shown.popitem(last=False)
        return min(issued_at, self._shown.get(token, issued_at))
