"""Bring in what requests had to leave behind."""

import asyncio
import random

import structlog
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.ledger.apply import Applier
from teamaccess.models import OrganizationId

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
OUTAGES = (EngineUnavailable, SQLAlchemyError, OSError)
"""What passes by itself or by an operator's hand."""


class Relay:
    """Retries what is pending until SpiceDB has it, as long as that takes.

    It begins with whatever an earlier process left, and goes on with what is handed over to it.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._waiting: set[OrganizationId] = set()
        self._woken = asyncio.Event()

    def hand_over(self, organization: OrganizationId) -> None:
        """Take over what is pending in the organization."""
        self._waiting.add(organization)
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        pause = FIRST_PAUSE_SECONDS
        begun = False
        while True:
            try:
                if not begun:
                    self._waiting.update(await self._applier.waiting())
                    begun = True
                await self._bring_in()
                pause = FIRST_PAUSE_SECONDS
                self._woken.clear()
                if not self._waiting:
                    await self._woken.wait()
            except OUTAGES as cause:
                log.warning("relay_waits", pause=pause, cause=repr(cause))
                # jitter, so that many processes do not knock at a recovering engine together
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _bring_in(self) -> None:
        for organization in sorted(self._waiting):
            self._waiting.discard(organization)
            try:
                await self._applier.catch_up(organization)
            except EngineRefused:
                log.error("organization_stopped", organization=organization)
            except OUTAGES:
                self._waiting.add(organization)
                raise
            except Exception:
                # an entry that nobody can read must not keep the other organizations waiting
                log.exception("organization_stopped", organization=organization)
