"""The relay: the part of a worker that delivers the entries that requests left pending."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.common.process import should_continue
from teamaccess.delivery import queue
from teamaccess.delivery.applier import Applier
from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.ledger.dialect import DRIVER_ERRORS
from teamaccess.ledger.errors import OtherHistory
from teamaccess.storage import OrganizationId

log = structlog.get_logger()

RANDOM = random.SystemRandom()
LEASE = timedelta(seconds=15)
"""How long a worker keeps a claimed organization to itself. Nothing is lost if the worker dies or is
late."""
ATTEMPT_SECONDS = 10.0
POLL_SECONDS = 1.0
ORGANIZATIONS_AT_ONCE = 32
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
OUTAGES = (EngineUnavailable, SQLAlchemyError, *DRIVER_ERRORS, OSError, TimeoutError)
"""Failures that pass by themselves or that an operator fixes. They include the driver's own errors,
because listening uses the driver without SQLAlchemy."""


class Relay:
    """Delivers pending entries, and retries until SpiceDB has them.

    Any number of relays may run at the same time. Each organization belongs to one relay at a time. A
    relay is notified of entries that are handed over, and polls every second for others.
    """

    def __init__(self, applier: Applier, status_pool: AsyncEngine) -> None:
        self._applier, self._status_pool = applier, status_pool
        self._woken = asyncio.Event()
        self._after = ""
        """The last claimed organization. The next round continues after it, so that all get their
        turns."""

    async def run(self) -> None:
        """Work until cancelled."""
        while should_continue():
            try:
                async with self._listening() as listener:
                    while should_continue() and not listener.is_closed():
                        await self._round()
            except OUTAGES as cause:
                log.warning("relay_failed", cause=repr(cause))
                await asyncio.sleep(POLL_SECONDS)

    async def _round(self) -> None:
        """Deliver the entries that are due, or wait until some are."""
        self._woken.clear()
        after, self._after = self._after, ""
        async with self._status_pool.begin() as connection:
            taken = await queue.claim_due(connection, ORGANIZATIONS_AT_ONCE, LEASE, after)
        if len(taken) == ORGANIZATIONS_AT_ONCE:
            self._after, _ = taken[-1]
        await asyncio.gather(*(self._deliver(*claimed) for claimed in taken))
        if not taken and not after:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()

    async def _deliver(self, organization: OrganizationId, attempts: int) -> None:
        """Apply the organization's pending entries. A failure does not affect other organizations."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._applier.catch_up(organization)
        except OUTAGES as cause:
            log.warning("delivery_postponed", organization=organization, cause=repr(cause))
            await self._postpone(organization, attempts)
        except EngineRefused:
            pass  # the organization has stopped; the applier has recorded and logged it
        except OtherHistory as other:
            log.error("other_history_found", organization=organization, cause=str(other))
            await self._postpone(organization, attempts)
        except Exception:
            log.exception("delivery_failed", organization=organization)
            await self._postpone(organization, attempts)

    async def _postpone(self, organization: OrganizationId, attempts: int) -> None:
        with suppress(*OUTAGES):  # then the lease runs out instead
            async with self._status_pool.begin() as connection:
                await queue.postpone(connection, organization, retry_delay(attempts))

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[Any]:
        """Listen for notifications of entries that are handed over. Yields the driver's connection.

        It waits for the server only. If it dies silently, the system notices and closes it.
        """
        async with self._status_pool.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            await raw.add_listener(queue.HANDED_OVER, self._wake)
            try:
                yield raw
            finally:
                with suppress(*OUTAGES):
                    await raw.remove_listener(queue.HANDED_OVER, self._wake)

    def _wake(self, *_: Any) -> None:
        self._woken.set()


def retry_delay(attempts: int) -> timedelta:
    """Return the delay before the next attempt: exponential backoff with a limit and jitter.

    The jitter keeps many workers from reaching a recovering engine at the same moment.
    """
    longest = min(FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10), LONGEST_PAUSE_SECONDS)
    return timedelta(seconds=longest * RANDOM.uniform(0.5, 1.0))
