"""The longest time for which one request may delay the other changes of its organization."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from teamaccess.changes.change import OrganizationChange
from teamaccess.common.errors import Conflict

LONGEST_SECONDS = 3
"""Changes in other processes give up after two seconds (`PATIENCE`), and a caller who plans may have no
right to change anything."""


class PlanTakesTooLong(Conflict):
    """The change, or its rehearsal, holds the organization's lock, and others may not wait longer."""

    message = (
        "These changes would block other changes of {organization} for more than {seconds} "
        "seconds. Propose less at once."
    )


@asynccontextmanager
async def time_limit(change: OrganizationChange) -> AsyncIterator[None]:
    """Limit the time of the block, in which the change holds its lock. Raises PlanTakesTooLong.

    Plans, the changes that they plan, and batches have the same limit.
    """
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            yield
    except TimeoutError as late:
        raise PlanTakesTooLong(organization=change.organization, seconds=LONGEST_SECONDS) from late
