"""Who of a process asks a large question next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from teamaccess.common.errors import Unavailable
from teamaccess.common.fairness import FairSlots
from teamaccess.storage import OrganizationId

AT_ONCE = 2
"""Questions of a kind under way in a process; the others wait, and services' checks do not."""
SHARE = 1
"""Of these one organization's, and one caller's: their large questions keep no other tenant's waiting."""
MOST_CALLERS = 1_000_000
PATIENCE_SECONDS = 60.0


class AuditBusy(Unavailable):
    """The question waited in vain behind other large questions about the organization."""

    message = (
        "{organization} is busy with other large questions, and yours has waited for a minute. "
        "Try again later."
    )
    retry_after = 10


class AuditTurns:
    """A queue in which organizations take turns, and in each organization the callers."""

    def __init__(self) -> None:
        self._callers = FairSlots(MOST_CALLERS, SHARE)
        self._organizations = FairSlots(AT_ONCE, SHARE)

    @asynccontextmanager
    async def taken(self, organization: OrganizationId, caller: str) -> AsyncIterator[None]:
        """Hold a turn for as long as the block runs; raises AuditBusy."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._callers.acquire(caller)
                try:
                    await self._organizations.acquire(organization, caller)
                except BaseException:
                    self._callers.release(caller)
                    raise
        except TimeoutError as cause:
            raise AuditBusy(organization=organization) from cause
        try:
            yield
        finally:
            self._organizations.release(organization)
            self._callers.release(caller)
