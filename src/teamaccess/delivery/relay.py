"""Bring in what requests had to leave behind."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.common.cancellation import should_continue
from teamaccess.delivery import queue
from teamaccess.delivery.applier import Applier
from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.ledger.dialect import DRIVER_ERRORS
from teamaccess.ledger.errors import OtherHistory
from teamaccess.storage import OrganizationId

log = structlog.get_logger()

CHANCE = random.SystemRandom()
LEASE = timedelta(seconds=15)
"""How long what a worker has taken up is left to it; nothing is lost if it dies or comes back late."""
ATTEMPT_SECONDS = 10.0
POLL_SECONDS = 1.0
AT_ONCE = 32
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
OUTAGES = (EngineUnavailable, SQLAlchemyError, *DRIVER_ERRORS, OSError, TimeoutError)
"""What passes by itself or by an operator's hand. To listen, the driver is used past SQLAlchemy."""


class Relay:
    """Retries what is pending until SpiceDB has it, as long as that takes.

    Any number of relays may run side by side: each organization is one's at a time. Told at once of what
    is handed over, and looking every second for what nobody told of.
    """

    def __init__(self, applier: Applier, marks: AsyncEngine) -> None:
        self._applier, self._marks = applier, marks
        self._woken = asyncio.Event()
        self._after = ""
        """The organization that was reached: they have their turns, so that none keeps out another."""

    async def run(self) -> None:
        """Work until cancelled."""
        while should_continue():
            try:
                async with self._listening():
                    while should_continue():
                        await self._round()
            except OUTAGES as cause:
                log.warning("relay_failed", cause=repr(cause))
                await asyncio.sleep(POLL_SECONDS)

    async def _round(self) -> None:
        """Bring in what is due, or wait until something is."""
        self._woken.clear()
        after, self._after = self._after, ""
        async with self._marks.begin() as connection:
            taken = await queue.take_up(connection, AT_ONCE, LEASE, after)
        if len(taken) == AT_ONCE:
            self._after, _ = taken[-1]
        await asyncio.gather(*(self._bring_in(*each) for each in taken))
        if not taken and not after:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()

    async def _bring_in(self, organization: OrganizationId, attempts: int) -> None:
        """Apply what is pending there; the trouble of one organization stays its own."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._applier.catch_up(organization)
        except OUTAGES as cause:
            log.warning("delivery_postponed", organization=organization, cause=repr(cause))
            await self._put_off(organization, attempts)
        except EngineRefused:
            pass  # stopped, which is kept and was said
        except OtherHistory as other:
            log.error("other_history_found", organization=organization, cause=str(other))
            await self._put_off(organization, attempts)
        except Exception:
            log.exception("delivery_failed", organization=organization)
            await self._put_off(organization, attempts)

    async def _put_off(self, organization: OrganizationId, attempts: int) -> None:
        with suppress(*OUTAGES):  # then its lease runs out
            async with self._marks.begin() as connection:
                await queue.put_off(connection, organization, pause(attempts))

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Be woken by whoever hands something over."""
        async with self._marks.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.add_listener(queue.HANDED_OVER, self._wake)
            try:
                yield
            finally:
                with suppress(*OUTAGES):
                    await raw.remove_listener(queue.HANDED_OVER, self._wake)

    def _wake(self, *_: Any) -> None:
        self._woken.set()


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: longer and longer, up to a limit, with jitter.

    So many workers do not knock at a recovering engine together.
    """
    longest = min(FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10), LONGEST_PAUSE_SECONDS)
    return timedelta(seconds=longest * CHANCE.uniform(0.5, 1.0))
