"""Remember when members were last active. No decision depends on it."""

import asyncio

import structlog
from cachetools import TTLCache
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import func

from teamaccess.common.sharing.rate_limit import MOST_KEYS
from teamaccess.common.sharing.throttle import Throttle
from teamaccess.ledger import Sessions
from teamaccess.storage import Activity, Membership, OrganizationId, UserId

log = structlog.get_logger()

GRAIN_SECONDS = 60.0
REMEMBERED_SECONDS = 600.0
PATIENCE_SECONDS = 1.0
"""How long a request waits until its activity is noted."""


class ActivityLog:
    """Writes a member's activity at most once a minute.

    SECURITY: many members may be active while a change has locked their rows. A locked row is left out,
    and notes have their own connections (`Service.notes`), so they take none from changes.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._due = Throttle(GRAIN_SECONDS)
        self._tenants: TTLCache[UserId, OrganizationId] = TTLCache(MOST_KEYS, REMEMBERED_SECONDS)

    def tenant_of(self, user: UserId) -> OrganizationId | None:
        """Return the organization in which this process last saw the user, None after ten minutes.

        It decides whose turn it is between tenants, and allows nothing.
        """
        return self._tenants.get(user)

    async def seen(self, organization: OrganizationId, user: UserId) -> None:
        """Note that the member has just done something, unless the last minute is noted already."""
        self._tenants[user] = organization
        if not self._due.allows((organization, user)):
            return
        at = func.clock_timestamp()
        # selected from the memberships, so that nothing is written for a removed member
        membership = (
            select(Membership.organization_id, Membership.user_id, at)
            .where(Membership.organization_id == organization, Membership.user_id == user)
            .with_for_update(key_share=True, read=True, skip_locked=True)
        )
        columns = ["organization_id", "user_id", "last_active_at"]
        write = (
            insert(Activity)
            .from_select(columns, membership)
            .on_conflict_do_update(
                index_elements=["organization_id", "user_id"], set_={"last_active_at": at}
            )
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._sessions() as session:
                await session.execute(write)
        except (SQLAlchemyError, OSError) as cause:
            # the request has done its work, and must not fail because its time cannot be noted
            log.warning("activity_not_recorded", cause=repr(cause))
