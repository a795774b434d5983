"""The sweeper ends expired rows within a second.

SpiceDB lets a relationship expire by itself, but its caches go on answering yes while nothing is written
(docs/decisions/0014). So the sweeper ends the row, which deletes the relationship through the ledger.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from teamaccess.changes import Ledger
from teamaccess.common.errors import Unavailable
from teamaccess.common.process import should_continue
from teamaccess.delivery.relay import OUTAGES, retry_delay
from teamaccess.storage import OrganizationId
from teamaccess.upkeep.worker.ends import end_due, find_due

log = structlog.get_logger()

POLL_SECONDS = 0.25
QUERY_SECONDS = 5.0
ATTEMPT_SECONDS = 20.0
AT_ONCE = 16
"""Organizations that are swept at the same time. Their updates share writes to SpiceDB."""


class Backoff(NamedTuple):
    """The number of failures in a row for an organization, and the time of the next attempt."""

    failures: int
    until: float
    """By `time.monotonic()`, which changes of the system clock do not affect."""


class Sweeper:
    """Looks for expired rows several times a second, and ends them.

    Any number of sweepers may run at the same time. Expiries are stored in rows, so those that come
    during an outage are ended at the next start.
    """

    def __init__(self, ledger: Ledger, reads: async_sessionmaker[AsyncSession]) -> None:
        self._ledger, self._reads = ledger, reads
        self._sweeping: set[OrganizationId] = set()
        self._backoffs: dict[OrganizationId, Backoff] = {}
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as sweeps:
            while should_continue():
                self._done.clear()
                for organization in await self._find_due():
                    self._sweeping.add(organization)
                    sweeps.create_task(self._sweep(organization))
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._done.wait()

    async def _find_due(self) -> Sequence[OrganizationId]:
        """Return the organizations to sweep next, at most as many as there are free slots."""
        free = AT_ONCE - len(self._sweeping)
        if free == 0:
            return []
        now = time.monotonic()
        waiting = (
            organization for organization, backoff in self._backoffs.items() if backoff.until > now
        )
        try:
            async with asyncio.timeout(QUERY_SECONDS), self._reads() as session:
                return await find_due(session, free, {*self._sweeping, *waiting})
        except OUTAGES as cause:
            log.warning("sweeper_failed", cause=repr(cause))
            await asyncio.sleep(POLL_SECONDS)
            return []

    async def _sweep(self, organization: OrganizationId) -> None:
        """End a batch of an organization. A failure affects only this organization."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                ended = await end_due(self._ledger, organization)
        except (Unavailable, *OUTAGES) as cause:
            log.warning("sweep_postponed", organization=organization, cause=repr(cause))
            self._back_off(organization)
        except Exception:
            log.exception("sweep_failed", organization=organization)
            self._back_off(organization)
        else:
            self._backoffs.pop(organization, None)
            log.info("expired_access_swept", organization=organization, ended=ended)
        finally:
            self._sweeping.discard(organization)
            self._done.set()

    def _back_off(self, organization: OrganizationId) -> None:
        """Postpone the next attempt, longer after each failure."""
        previous = self._backoffs.get(organization)
        failures = previous.failures + 1 if previous is not None else 1
        until = time.monotonic() + retry_delay(failures).total_seconds()
        self._backoffs[organization] = Backoff(failures, until)
