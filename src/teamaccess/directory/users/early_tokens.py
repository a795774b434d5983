"""Tokens that are presented before their time of issue, because the clock of their issuer is ahead."""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.directory.users.tokens import InvalidToken
from teamaccess.storage import EarlyToken

MOST_AHEAD = timedelta(seconds=2)
"""How far an issuer's clock may be ahead of PostgreSQL's."""
AHEAD = "its time of issue is ahead of our clock: set the clock of its issuer"
FIRST_SHOWN = (
    select(EarlyToken.first_shown_at).where(EarlyToken.id == bindparam("token")).scalar_subquery()
)
"""When the token was first presented, if that was before its time of issue. It is part of the query for
the user, so that it costs no further statement."""
NOTE = text("""
WITH ended AS (
  DELETE FROM early_tokens WHERE id IN (
    SELECT id FROM early_tokens WHERE expires_at < clock_timestamp()
    LIMIT 10 FOR UPDATE SKIP LOCKED)
)
INSERT INTO early_tokens (id, expires_at) VALUES (:token, :expires_at) ON CONFLICT DO NOTHING
""")
"""Notes a token, and forgets a few whose life has ended."""


async def wait_until_issued(issued_at: datetime, now: datetime) -> bool:
    """Return once the time of issue has come, and whether that took waiting.

    SECURITY: a sign-out refuses the tokens that were issued before it. A token of an issuer with a clock
    ahead would count as issued later. So no token is accepted before its own time of issue. Then every
    token that was in use before a sign-out is older than the sign-out. Many clocks are a little ahead, so
    a request waits for up to two seconds. Raises InvalidToken for more.

    Read the user again after waiting: the sessions may have been ended in the meantime, and another
    process may have received the token earlier.
    """
    ahead = issued_at - now
    if ahead <= timedelta(0):
        return False
    if ahead > MOST_AHEAD:
        raise InvalidToken(cause=AHEAD)
    await asyncio.sleep(ahead.total_seconds())
    return True


async def note_early(
    session: AsyncSession, token: bytes, issued_at: datetime, expires_at: datetime, now: datetime
) -> None:
    """Note that a token is presented before its time of issue. `session` commits each statement at once.

    SECURITY: a token that was presented at some moment was issued by then, whatever it says. So a
    sign-out between that moment and its time of issue ends it as well, in every process: they all read
    the note. The note is written before the request waits or is refused.
    """
    if issued_at > now:
        await session.execute(NOTE, {"token": token, "expires_at": expires_at})


def effective_issue_time(issued_at: datetime, first_shown: datetime | None) -> datetime:
    """Return the time by which a token was issued: its time of issue, or when it was first presented."""
    return min(issued_at, first_shown or issued_at)
