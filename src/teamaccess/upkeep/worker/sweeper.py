"""End what has come to its end, within the second.

SpiceDB by itself lets a relationship expire, but while nothing is written its caches go on saying yes
(docs/decisions/0014). So the row is ended, which deletes the relationship and tells the ledger.
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
LOOK_SECONDS = 5.0
ATTEMPT_SECONDS = 20.0
AT_ONCE = 16
"""Organizations swept at the same time; what they come to travels to SpiceDB together."""


class Rest(NamedTuple):
    """How often it failed for an organization in a row, and until when it is left alone."""

    failures: int
    until: float
    """By `time.monotonic()`, which no step of the clock moves."""


class Sweeper:
    """Looks several times a second where something has ended, and ends it.

    Any number of sweepers may run side by side. Ends are rows, so those that come while everything is
    down are met at the next start.
    """

    def __init__(self, ledger: Ledger, reads: async_sessionmaker[AsyncSession]) -> None:
        self._ledger, self._reads = ledger, reads
        self._sweeping: set[OrganizationId] = set()
        self._resting: dict[OrganizationId, Rest] = {}
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as sweeps:
            while should_continue():
                self._done.clear()
                for organization in await self._look():
                    self._sweeping.add(organization)
                    sweeps.create_task(self._sweep(organization))
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._done.wait()

    async def _look(self) -> Sequence[OrganizationId]:
        """Return where to sweep next, as far as there is room."""
        room = AT_ONCE - len(self._sweeping)
        if room == 0:
            return []
        now = time.monotonic()
        resting = (each for each, rest in self._resting.items() if rest.until > now)
        try:
            async with asyncio.timeout(LOOK_SECONDS), self._reads() as session:
                return await find_due(session, room, {*self._sweeping, *resting})
        except OUTAGES as cause:
            log.warning("sweeper_cannot_look", cause=repr(cause))
            await asyncio.sleep(POLL_SECONDS)
            return []

    async def _sweep(self, organization: OrganizationId) -> None:
        """End a batch there; the trouble of one organization stays its own."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                ended = await end_due(self._ledger, organization)
        except (Unavailable, *OUTAGES) as cause:
            log.warning("sweep_waits", organization=organization, cause=repr(cause))
            self._rest(organization)
        except Exception:
            log.exception("sweep_failed", organization=organization)
            self._rest(organization)
        else:
            self._resting.pop(organization, None)
            log.info("swept", organization=organization, ended=ended)
        finally:
            self._sweeping.discard(organization)
            self._done.set()

    def _rest(self, organization: OrganizationId) -> None:
        """Leave it alone for a while, longer and longer."""
        failures = self._resting[organization].failures + 1 if organization in self._resting else 1
        until = time.monotonic() + retry_delay(failures).total_seconds()
        self._resting[organization] = Rest(failures, until)
