"""Learn the outcome of a commit during which PostgreSQL went away."""

import asyncio
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import DataError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes.change import Change
from teamaccess.common.postgres.connect import sqlstate
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import NotCommitted, OutcomeUnknown
from teamaccess.ledger.session import Sessions

STATUS = text("SELECT pg_xact_status(CAST(CAST(:transaction AS text) AS xid8))")
IN_THE_LEDGER = text("""
SELECT EXISTS (SELECT FROM ledger
               WHERE organization_id = :organization AND position = :position AND hash = :hash)
""")
IN_THE_EVENTS = text("""
SELECT EXISTS (SELECT FROM events WHERE chain = ANY(:chains) AND request_id = :request)
""")
NO_SUCH_TRANSACTION = "22023"
"""PostgreSQL's code for a transaction id that it has not used yet."""
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.1


async def learn_outcome(
    sessions: Sessions, change: Change, decided: list[Entry], cause: Exception
) -> None:
    """Ask PostgreSQL whether the change was committed, again and again until it is back.

    Raises NotCommitted if it was not, OutcomeUnknown if PostgreSQL stays unreachable for ten seconds.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                match await _status(sessions, change, decided):
                    case "committed":
                        return
                    case "aborted":
                        raise NotCommitted from cause
                await asyncio.sleep(PAUSE_SECONDS)
    raise OutcomeUnknown from cause


async def _status(sessions: Sessions, change: Change, decided: list[Entry]) -> str | None:
    """Return `committed`, `aborted` or `in progress`; None while PostgreSQL does not answer."""
    try:
        async with sessions() as session:
            result = await session.execute(STATUS, {"transaction": change.transaction})
            status: str | None = result.scalar_one()
            if status == "committed" and not await _is_in_chains(session, change, decided):
                # PostgreSQL forgets a transaction in a crash if nothing of it had reached the disk. It
                # then reuses the id for another transaction, and that one may be committed.
                return "aborted"
            return status
    except (DataError, ProgrammingError):
        raise  # a bug, so waiting does not help
    except (SQLAlchemyError, OSError) as error:  # including a pool without a free connection
        forgotten = sqlstate(error) == NO_SUCH_TRANSACTION
        return "aborted" if forgotten else None


async def _is_in_chains(session: AsyncSession, change: Change, decided: list[Entry]) -> bool:
    """Return whether the chains contain the entries or events of the change."""
    if decided:
        last = decided[-1]
        entry = {"organization": last.organization, "position": last.position, "hash": last.hash}
        return bool(await session.scalar(IN_THE_LEDGER, entry))
    events = {"chains": sorted(change.event_chains), "request": change.attribution.request_id}
    return bool(await session.scalar(IN_THE_EVENTS, events))
