"""Compare one organization after the other with SpiceDB, for as long as the worker runs."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, Select, func, or_, select

from teamaccess.endless import wanted
from teamaccess.ledger import Attribution
from teamaccess.ledger.relay import OUTAGES
from teamaccess.ledger.session import UNHURRIED
from teamaccess.models import Channel, Organization, OrganizationId, Reconciliation
from teamaccess.reconciliation import Inspector
from teamaccess.service import Service

log = structlog.get_logger()

LOOKING = Attribution("system", Channel.SYSTEM, "reconciler")
BATCH = 20
PAUSE_SECONDS = 0.2
RELATIONSHIPS_PER_SECOND = 2000
OFTEN = timedelta(minutes=1)
"""Where there are few organizations, none is looked at more often."""
POSTPONED_SECONDS = 60.0
REST_SECONDS = 2.0
ADVISORY = 0x7EA3
"""The first half of the advisory locks by which workers keep out of each other's way."""
TURN = (
    func.coalesce(Reconciliation.asked_for, False).desc(),
    Reconciliation.checked_at.nulls_first(),
    Organization.id,
)
"""Those first that somebody asks for, then those that nobody has looked at ever."""


class Reconciler:
    """Looks at the organization next that was looked at the longest ago, slowly, and mends nothing.

    Any number of workers share the work. What they find is kept as findings.
    """

    def __init__(self, service: Service) -> None:
        self._sessions = service.sessions
        self._inspector = Inspector(service.ledger, service.engine, service.catalog, LOOKING)
        self._postponed: dict[OrganizationId, float] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        while wanted():
            try:
                due = await self._due()
                for id in due:
                    await asyncio.sleep(await self._look(id))
                if not due:
                    await asyncio.sleep(REST_SECONDS)
            except OUTAGES as cause:
                log.warning("reconciler_cannot_look", cause=repr(cause))
                await asyncio.sleep(REST_SECONDS)

    async def _due(self) -> Sequence[OrganizationId]:
        """Return the next ones."""
        now = time.monotonic()
        self._postponed = {id: until for id, until in self._postponed.items() if until > now}
        async with self._sessions() as session:
            rows = await session.scalars(
                _due().where(Organization.id.not_in(self._postponed)).order_by(*TURN).limit(BATCH)
            )
            return rows.all()

    async def _look(self, id: OrganizationId) -> float:
        """Look at one that is nobody else's at this moment; return how long to rest after it."""
        async with self._sessions() as session:
            await session.execute(UNHURRIED)
            lock = func.pg_try_advisory_xact_lock(ADVISORY, func.hashtext(id))
            if not await session.scalar(select(lock)):
                return 0.0
            if not await session.scalar(_due().where(Organization.id == id)):
                return 0.0  # another worker has just been there
            return await self._inspect(id)

    async def _inspect(self, id: OrganizationId) -> float:
        try:
            verdict = await self._inspector.organization(id)
        except OUTAGES:
            raise
        except Exception:
            log.exception("organization_unreconcilable", organization=id)
            self._postponed[id] = time.monotonic() + POSTPONED_SECONDS
            return PAUSE_SECONDS
        if verdict.found or verdict.problem:
            what = verdict.counts or verdict.problem
            log.error("drift_found", organization=id, what=what)
        if verdict.problem:
            self._postponed[id] = time.monotonic() + POSTPONED_SECONDS
        return max(PAUSE_SECONDS, verdict.compared / RELATIONSHIPS_PER_SECOND)


def _due() -> Select[OrganizationId]:
    """Select the organizations that were not looked at just now; ended ones should hold nothing."""
    recently: ColumnElement[bool] = Reconciliation.checked_at > func.clock_timestamp() - OFTEN
    return (
        select(Organization.id)
        .outerjoin(Reconciliation, Reconciliation.organization_id == Organization.id)
        .where(or_(Reconciliation.checked_at.is_(None), Reconciliation.asked_for, ~recently))
    )
