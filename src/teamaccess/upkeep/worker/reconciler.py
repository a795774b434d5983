"""Compares one organization after another with SpiceDB while the worker runs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    Text,
    exists,
    func,
    literal,
    or_,
    select,
)

from teamaccess.common.process import should_continue
from teamaccess.delivery.relay import OUTAGES
from teamaccess.ledger import Attribution
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.service import Service
from teamaccess.storage import Channel, Organization, OrganizationId, Reconciliation
from teamaccess.storage.advisory_locks import Purpose
from teamaccess.upkeep.reconciliation import Inspector
from teamaccess.upkeep.reconciliation.results import requested_at

log = structlog.get_logger()

RECONCILER = Attribution("system", Channel.SYSTEM, "reconciler")
BATCH = 20
PAUSE_SECONDS = 0.2
RELATIONSHIPS_PER_SECOND = 2000
SHORTEST_INTERVAL = timedelta(minutes=1)
"""No organization is compared more often, except on request."""
POSTPONED_SECONDS = 60.0
OUTAGE_SECONDS = 2.0
"""How long an organization is postponed after a first outage during its comparison. It doubles after each
further outage, up to POSTPONED_SECONDS."""
COMPARISON_SECONDS = 600.0
"""How long one comparison may take. A million relationships take less than a minute."""
REST_SECONDS = 2.0
ORDER = (
    Reconciliation.asked_at.is_(None),
    Reconciliation.checked_at.nulls_first(),
    Organization.id,
)
"""First the requested organizations, then those that were never compared, then the oldest comparison."""


class Postponed(NamedTuple):
    """A comparison that failed and will be tried again later."""

    asked_at: datetime | None
    """The request that the comparison was to answer. A later request is not postponed."""
    until: float
    """By `time.monotonic()`."""


class Reconciler:
    """Compares the organization whose comparison is the oldest, slowly, and repairs nothing.

    Any number of workers share the work. Differences are recorded as findings.
    """

    def __init__(self, service: Service) -> None:
        self._sessions, self._locks = service.sessions, service.locks
        self._inspector = Inspector(service.ledger, service.engine, service.catalog, RECONCILER)
        self._postponed: dict[OrganizationId, Postponed] = {}
        self._outages: dict[OrganizationId, int] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        while should_continue():
            try:
                due = await self._due()
                for id in due:
                    await asyncio.sleep(await self._compare_if_free(id))
                if not due:
                    await asyncio.sleep(REST_SECONDS)
            except OUTAGES as cause:
                log.warning("reconciler_failed", cause=repr(cause))
                await asyncio.sleep(REST_SECONDS)

    async def _due(self) -> Sequence[OrganizationId]:
        """Return the organizations to compare next."""
        now = time.monotonic()
        self._postponed = {id: each for id, each in self._postponed.items() if each.until > now}
        postponed = _postponed({id: each.asked_at for id, each in self._postponed.items()})
        async with self._sessions() as session:
            rows = await session.scalars(_due().where(~postponed).order_by(*ORDER).limit(BATCH))
            return rows.all()

    async def _compare_if_free(self, id: OrganizationId) -> float:
        """Compare an organization unless another worker does; return the pause after it in seconds."""
        async with self._sessions() as session:
            await session.execute(ALLOW_LONG_TRANSACTION)
            if not await session.scalar(self._locks.try_lock(Purpose.COMPARISON, id)):
                return PAUSE_SECONDS
            if not await session.scalar(_due().where(Organization.id == id)):
                return PAUSE_SECONDS  # another worker has just compared it
            return await self._inspect(id, await requested_at(session, id))

    async def _inspect(self, id: OrganizationId, requested: datetime | None) -> float:
        """Compare an organization. It is postponed if that fails, so that it keeps no other one waiting.

        An outage may concern this organization alone, for example if its comparison never ends.
        """
        try:
            async with asyncio.timeout(COMPARISON_SECONDS):
                result = await self._inspector.reconcile_organization(id)
        except OUTAGES as cause:
            outages = self._outages[id] = self._outages.get(id, 0) + 1
            seconds = min(OUTAGE_SECONDS * 2 ** min(outages - 1, 10), POSTPONED_SECONDS)
            log.warning("comparison_postponed", organization=id, cause=repr(cause))
            self._postpone(id, requested, seconds)
            return REST_SECONDS
        except Exception:
            log.exception("reconciliation_failed", organization=id)
            self._postpone(id, requested)
            return PAUSE_SECONDS
        self._outages.pop(id, None)
        if result.found or result.problem:
            log.error("drift_found", organization=id, what=result.counts or result.problem)
        if result.problem:
            self._postpone(id, requested)
        return max(PAUSE_SECONDS, result.compared / RELATIONSHIPS_PER_SECOND)

    def _postpone(
        self, id: OrganizationId, requested: datetime | None, seconds: float = POSTPONED_SECONDS
    ) -> None:
        self._postponed[id] = Postponed(requested, time.monotonic() + seconds)


def _postponed(requested: Mapping[OrganizationId, datetime | None]) -> ColumnElement[bool]:
    """Return the condition that an organization is postponed and was not requested again since."""
    ids = literal(list(requested), ARRAY(Text))
    times = literal(list(requested.values()), ARRAY(DateTime(timezone=True)))
    each = func.unnest(ids, times).table_valued("id", "asked_at").render_derived()
    same = Reconciliation.asked_at.is_not_distinct_from(each.c.asked_at)
    return exists().select_from(each).where(each.c.id == Organization.id, same)


def _due() -> Select[OrganizationId]:
    """Select the organizations that are due. Ended ones count: SpiceDB should hold nothing for them."""
    recently: ColumnElement[bool] = (
        Reconciliation.checked_at > func.clock_timestamp() - SHORTEST_INTERVAL
    )
    return (
        select(Organization.id)
        .outerjoin(Reconciliation, Reconciliation.organization_id == Organization.id)
        .where(
            or_(
                Reconciliation.checked_at.is_(None), Reconciliation.asked_at.is_not(None), ~recently
            )
        )
    )
