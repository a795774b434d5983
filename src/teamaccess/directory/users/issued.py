"""When a token was issued, judged by PostgreSQL's clock."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

from teamaccess.common.errors import Unauthenticated

MOST_AHEAD = timedelta(seconds=2)
"""How far an issuer's clock may be ahead of PostgreSQL's."""

MOST_REMEMBERED = 10_000
"""Early tokens that one process remembers."""


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, revoked, or from before a sign-out; `cause` says which."""

    message = "The access token is not valid ({cause}). Sign in again."


AHEAD = "its time of issue is ahead of our clock: the issuer's clock must be set"


async def wait_until_issued(issued_at: datetime, now: datetime) -> bool:
    """Return once the time of issue has come, and whether that took waiting.

    SECURITY: a sign-out refuses the tokens that were issued before it. A token of an issuer with a clock
    ahead would count as issued later. So no token is accepted before its own time of issue. Then every
    token that was in use before a sign-out is older than the sign-out. Clocks are a little ahead, so a
    request waits for up to two seconds. Raises InvalidToken for more.

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
    """Remembers when tokens were first used that have a later time of issue.

    SECURITY: a token that was used at a time was issued by then. So a sign-out between its first use and
    its time of issue ends it as well. Each process remembers only what it has seen itself.
    """

    def __init__(self) -> None:
        self._first_used: OrderedDict[Hashable, datetime] = OrderedDict()

    def issued(self, token: Hashable, issued_at: datetime, now: datetime) -> datetime:
        """Return the time by which a token was issued: its time of issue, or its first use if earlier."""
        if issued_at > now:
            self._first_used.setdefault(token, now)
            if len(self._first_used) > MOST_REMEMBERED:
                self._first_used.popitem(last=False)
        return min(issued_at, self._first_used.get(token, issued_at))
