"""The times in a token, judged by PostgreSQL's clock."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from jwt.types import Options
from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import Unauthenticated
from teamaccess.storage import EarlyToken

LEEWAY = timedelta(seconds=60)
"""How long before its beginning and after its end a token is accepted, be it ours or an issuer's."""

MOST_AHEAD = timedelta(seconds=2)
"""How far an issuer's clock may be ahead of PostgreSQL's."""
FIRST_SHOWN = (
    select(EarlyToken.first_shown_at).where(EarlyToken.id == bindparam("token")).scalar_subquery()
)
"""When the token was first shown, if that was before its time of issue. It is part of the query for the
user, so that it costs no further statement."""
NOTE = text("""
WITH ended AS (
  DELETE FROM early_tokens WHERE id IN (
    SELECT id FROM early_tokens WHERE expires_at < clock_timestamp()
    LIMIT 10 FOR UPDATE SKIP LOCKED)
)
INSERT INTO early_tokens (id, expires_at) VALUES (:token, :expires_at) ON CONFLICT DO NOTHING
""")
"""Notes a token, and forgets a few whose life has ended."""


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

    Read the user again after waiting: the sessions may have been ended meanwhile, and another process may
    have been shown the token before.
    """
    ahead = issued_at - now
    if ahead <= timedelta(0):
        return False
    if ahead > MOST_AHEAD:
        raise InvalidToken(cause=AHEAD)
    await asyncio.sleep(ahead.total_seconds())
    return True


def token_id(kind: str, *about: str) -> bytes:
    """Return what identifies a token among the early ones. It is not a secret."""
    return hashlib.sha256(json.dumps([kind, *about]).encode()).digest()


async def note_early(
    session: AsyncSession, token: bytes, issued_at: datetime, expires_at: datetime, now: datetime
) -> None:
    """Note that a token is shown before its time of issue. `session` commits each statement by itself.

    SECURITY: a token that was shown at a time was issued by then. So a sign-out between that time and its
    time of issue ends it as well, in every process: they all read the note. The note is written before
    the request waits or is refused.
    """
    if issued_at > now:
        await session.execute(NOTE, {"token": token, "expires_at": expires_at})


def dated(issued_at: datetime, first_shown: datetime | None) -> datetime:
    """Return the time by which a token was issued: its time of issue, or its first use if earlier."""
    return min(issued_at, first_shown or issued_at)
