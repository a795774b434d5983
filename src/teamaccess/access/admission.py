"""Who may wait for an organization's lock: its members, and nobody else.

A change takes a turn in its process and a lock in PostgreSQL before it is judged. Without this, anybody
could keep a tenant's changes waiting by sending requests that are refused only under that lock.
"""

import asyncio

from cachetools import TTLCache

from teamaccess.access.authorize import ReadAuthorizer
from teamaccess.delivery import Applier
from teamaccess.delivery.progress import newest_progress
from teamaccess.engine import EngineRefused, EngineUnavailable
from teamaccess.ledger import OtherHistory, Sessions, UnknownOrganization
from teamaccess.storage import OrganizationId, UserId

REMEMBERED_SECONDS = 10.0
"""How long somebody who was a member may wait for the lock again without being asked about. It allows
nothing else: under the lock every permission is asked of SpiceDB."""
REMEMBERED = 100_000
PATIENCE_SECONDS = 2.0


class Admission:
    """Lets members wait for their organization's lock."""

    def __init__(self, applier: Applier, reads: Sessions) -> None:
        self._applier = applier
        self._reads = reads
        self._members: TTLCache[tuple[OrganizationId, UserId], bool] = TTLCache(
            REMEMBERED, REMEMBERED_SECONDS
        )

    async def admit(
        self, reading: ReadAuthorizer, organization: OrganizationId, user: UserId
    ) -> None:
        """Return if the user is a member; raises UnknownOrganization.

        A membership that was decided and has not reached SpiceDB yet counts: it is brought in first.
        """
        if (organization, user) in self._members:
            return
        try:
            await reading.require_membership(organization, user)
        except UnknownOrganization:
            if not await self._brought_in(organization):
                raise
            await reading.require_membership(organization, user)
        self._members[organization, user] = True

    async def _brought_in(self, organization: OrganizationId) -> bool:
        """Bring in what is pending; return whether there was anything."""
        async with self._reads() as session:
            places = await newest_progress(session, [organization])
        if all(place.delivered for place in places):
            return False
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._applier.catch_up(organization)
        except (EngineUnavailable, EngineRefused, OtherHistory, TimeoutError):
            # SECURITY: a stranger must not learn from an outage that there is something to bring in
            return False
        return True
