"""What came of a transaction when PostgreSQL went away while it committed."""

import asyncio
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from teamaccess.ledger.errors import NotCommitted, OutcomeUnknown
from teamaccess.ledger.session import Sessions

STATUS = text("SELECT pg_xact_status(CAST(CAST(:transaction AS text) AS xid8))")
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.1


async def learn_outcome(sessions: Sessions, transaction: str, cause: Exception) -> None:
    """Return if the transaction was committed, asking again until PostgreSQL is back.

    Raises NotCommitted if it was not, OutcomeUnknown if PostgreSQL stays away for ten seconds.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                match await _status(sessions, transaction):
                    case "committed":
                        return
                    case "aborted":
                        raise NotCommitted from cause
                await asyncio.sleep(PAUSE_SECONDS)
    raise OutcomeUnknown from cause


async def _status(sessions: Sessions, transaction: str) -> str | None:
    """Return `committed`, `aborted` or `in progress`; None while PostgreSQL does not answer."""
    try:
        async with sessions() as session:
            found = await session.execute(STATUS, {"transaction": transaction})
            status: str | None = found.scalar_one()
            return status
    except (DataError, ProgrammingError):
        raise  # a mistake of ours, which no waiting mends
    except (DBAPIError, OSError):
        return None
