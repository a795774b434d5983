"""Tokens that are used before their time of issue, because the clock of their issuer is ahead."""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.directory.users.tokens import InvalidToken
from teamaccess.storage import EarlyToken

MOST_AHEAD = timedelta(seconds=2)
"""How far an issuer's clock may be ahead of PostgreSQL's."""
AHEAD = "its time of issue is ahead of our clock: set the clock of its issuer"
FIRST_USED = (
    select(EarlyToken.first_shown_at).where(EarlyToken.id == bindparam("token")).scalar_subquery()
)
"""When the token was first used, if that was before its time of issue. The query for the user
includes it, which saves a statement."""
NOTE = text("""
WITH ended AS (
  DELETE FROM early_tokens WHERE id IN (
    SELECT id FROM early_tokens WHERE expires_at < clock_timestamp()
    LIMIT 10 FOR UPDATE SKIP LOCKED)
)
INSERT INTO early_tokens (id, expires_at) VALUES (:token, :expires_at) ON CONFLICT DO NOTHING
""")
"""Notes a token, and deletes a few expired notes."""


async def wait_until_issued(issued_at: datetime, now: datetime) -> bool:
    """Return once the time of issue has come, and whether that took waiting.

    SECURITY: a sign-out ends the tokens that were issued before it. If the issuer's clock is ahead,
    a token from before the sign-out would count as issued after it. So no token is accepted before
    its own time of issue: every token in use before a sign-out is then older than the sign-out.
    Clocks that are a little ahead are common, so a request waits for up to two seconds. Raises
    InvalidToken for more.

    After a wait, the caller must read the user again: a sign-out or another process that saw the
    token may have come in between.
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
    """Note that a token is used before its time of issue. `session` commits each statement by itself.

    SECURITY: a token that is used has been issued, whatever its time of issue says. So a sign-out after
    the first use must end it, even if the sign-out comes before the token's time of issue. Every process
    reads the note. It is written before the request waits or is refused.
    """
    if issued_at > now:
        await session.execute(NOTE, {"token": token, "expires_at": expires_at})


def effective_issue_time(issued_at: datetime, first_used: datetime | None) -> datetime:
    """Return the time by which a token was issued: its time of issue, or its first use if earlier."""
    return min(issued_at, first_used or issued_at)
