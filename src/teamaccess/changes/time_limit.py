"""The longest time for which one request may delay the other changes of its organization."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from teamaccess.changes.change import OrganizationChange
from teamaccess.common.errors import Conflict

LONGEST_SECONDS = 3
"""Changes that wait in other processes give up after two seconds (`opening.PATIENCE_SECONDS`). The limit
is short because even a caller without the right to change anything may plan."""


class PlanTakesTooLong(Conflict):
    """The change or its rehearsal would hold the organization's lock for too long."""

    message = (
        "These changes would block other changes of {organization} for more than {seconds} "
        "seconds. Propose less at once."
    )


@asynccontextmanager
async def time_limit(change: OrganizationChange) -> AsyncIterator[None]:
    """Limit how long the block may hold the change's lock. Raises PlanTakesTooLong.

    Plans, the changes that they plan, and batches have the same limit.
    """
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            yield
    except TimeoutError as late:
        raise PlanTakesTooLong(organization=change.organization, seconds=LONGEST_SECONDS) from late
