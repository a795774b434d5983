"""The times in a token, judged by PostgreSQL's clock."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from jwt.types import Options

from teamaccess.common.errors import Unauthenticated

LEEWAY = timedelta(seconds=60)
"""How long before its beginning and after its end a token is accepted, be it ours or an issuer's."""

MOST_AHEAD = timedelta(seconds=2)
"""How far an issuer's clock may be ahead of PostgreSQL's."""

MOST_REMEMBERED = 10_000
"""Early tokens that one process remembers."""


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, revoked, or from before a sign-out; `cause` says which."""

    message = "The access token is not valid ({cause}). Sign in again."


AHEAD = "its time of issue is ahead of our clock: set the clock of its issuer"


class Lifetime(Protocol):
    """The times between which a token is accepted, with the leeway."""

    @property
    def valid_from(self) -> datetime | None:
        """When it is accepted, None from its time of issue."""

    @property
    def expires_at(self) -> datetime:
        """When it is refused."""


def required(*claims: str) -> Options:
    """Return PyJWT's options that require these claims, and leave their times to this module.

    There is one clock, PostgreSQL's: all processes share it, and it is the one that ends sessions.
    """
    return {
        "require": list(claims),
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }


def time_in(claim: Any) -> datetime:
    """Return the time of a claim, in seconds since 1970.

    Raises TypeError, ValueError, OverflowError and OSError for anything else.
    """
    return datetime.fromtimestamp(claim, UTC)


def beginning_in(claims: dict[str, Any]) -> datetime | None:
    """Return when a token with these claims is accepted, None for one without a beginning (`nbf`)."""
    return time_in(claims["nbf"]) - LEEWAY if claims.get("nbf") is not None else None


def refuse_unless_current(token: Lifetime, now: datetime) -> None:
    """Raise InvalidToken for a token that has expired, or is not valid yet."""
    if token.expires_at <= now:
        raise InvalidToken(cause="it has expired")
    if token.valid_from is not None and token.valid_from > now:
        raise InvalidToken(cause="it is not valid yet")


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
