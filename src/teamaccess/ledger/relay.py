"""Bring in what requests had to leave behind."""

import asyncio
import random
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.engine import EngineUnavailable
from teamaccess.ledger.apply import Applier
from teamaccess.models import OrganizationId

log = structlog.get_logger()

CHANCE = random.SystemRandom()
FIRST_PAUSE_SECONDS = 0.1
POLL_SECONDS = 5.0
ATTEMPT_SECONDS = 10.0
OUTAGES = (EngineUnavailable, SQLAlchemyError, OSError)
"""What passes by itself or by an operator's hand."""


class Relay:
    """Retries what is pending until SpiceDB has it, as long as that takes.

    It looks every few seconds for what any process or command left, at once when something is handed
    over, and at its start also for what an earlier SpiceDB refused.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._handed_over: set[OrganizationId] = set()
        self._woken = asyncio.Event()

    def hand_over(self, organization: OrganizationId) -> None:
        """Take over what is pending in the organization."""
        self._handed_over.add(organization)
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._handed_over.update(await self._look(stopped=True))
        failures = 0
        while True:
            self._woken.clear()
            waiting = {*self._handed_over, *await self._look()}
            self._handed_over.clear()
            done = [await self._bring_in(organization) for organization in _any_order(waiting)]
            failures = 0 if all(done) else failures + 1
            await self._pause(failures)

    async def _look(self, *, stopped: bool = False) -> list[OrganizationId]:
        try:
            return await self._applier.waiting(stopped=stopped)
        except OUTAGES as cause:
            log.warning("relay_cannot_look", cause=repr(cause))
            return []

    async def _bring_in(self, organization: OrganizationId) -> bool:
        """Return whether nothing is left to be done; the trouble of one stays its own."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await self._applier.catch_up(organization)
        except OUTAGES as cause:
            log.warning("relay_waits", organization=organization, cause=repr(cause))
            self._handed_over.add(organization)
            return False
        except Exception:
            # refused for good, or an entry that nobody can read
            log.exception("organization_stopped", organization=organization)
        return True

    async def _pause(self, failures: int) -> None:
        """Wait for the next look, or for something handed over; after failures for longer and longer.

        With jitter, so that many processes do not knock at a recovering engine together.
        """
        if failures:
            longest = min(FIRST_PAUSE_SECONDS * 2**failures, POLL_SECONDS)
            await asyncio.sleep(longest * CHANCE.uniform(0.5, 1.0))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()


def _any_order(organizations: set[OrganizationId]) -> list[OrganizationId]:
    """In no order that would let one that always fails keep the same others waiting."""
    return CHANCE.sample(sorted(organizations), len(organizations))
