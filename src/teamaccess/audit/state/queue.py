"""The queue in which large questions wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from teamaccess.common.errors import Unavailable
from teamaccess.common.sharing.fairness import FairSlots
from teamaccess.storage import OrganizationId

AT_ONCE = 2
"""Questions of one queue that run at the same time in a process. Services' checks do not wait here."""
SHARE = 1
"""Questions of one organization, and of one caller, that run at the same time: the large questions of one
tenant do not delay those of the others."""
MOST_CALLERS = 1_000_000
MOST_ORGANIZATIONS = 1_000_000
"""For a queue in which organizations do not wait for each other."""
PATIENCE_SECONDS = 60.0


class AuditBusy(Unavailable):
    """The question waited too long behind other large questions about the organization."""

    message = (
        "{organization} is busy with other large questions, and yours has waited for a minute. "
        "Try again later."
    )
    retry_after = 10


class AuditQueue:
    """Lets organizations take turns, and within an organization its callers."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._callers = FairSlots(MOST_CALLERS, SHARE)
        self._organizations = FairSlots(at_once, SHARE)

    @asynccontextmanager
    async def turn(self, organization: OrganizationId, caller: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it while the block runs. Raises AuditBusy after a minute."""
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
