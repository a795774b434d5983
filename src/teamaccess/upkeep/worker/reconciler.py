"""Compare one organization after the other with SpiceDB, for as long as the worker runs."""

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
from teamaccess.upkeep.reconciliation import Inspector
from teamaccess.upkeep.reconciliation.results import asked_at

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
    Reconciliation.asked_at.is_(None),
    Reconciliation.checked_at.nulls_first(),
    Organization.id,
)
"""Those first that somebody asks for, then those that nobody has looked at ever."""


class Postponed(NamedTuple):
    """A comparison that could not be made."""

    asked_at: datetime | None
    """The request that it was to answer; who has asked since is not kept waiting."""
    until: float
    """By `time.monotonic()`."""


class Reconciler:
    """Looks at the organization next that was looked at the longest ago, slowly, and mends nothing.

    Any number of workers share the work. What they find is kept as findings.
    """

    def __init__(self, service: Service) -> None:
        self._sessions = service.sessions
        self._inspector = Inspector(service.ledger, service.engine, service.catalog, LOOKING)
        self._postponed: dict[OrganizationId, Postponed] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        while should_continue():
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
        self._postponed = {id: each for id, each in self._postponed.items() if each.until > now}
        postponed = _postponed({id: each.asked_at for id, each in self._postponed.items()})
        async with self._sessions() as session:
            rows = await session.scalars(_due().where(~postponed).order_by(*TURN).limit(BATCH))
            return rows.all()

    async def _look(self, id: OrganizationId) -> float:
        """Look at one that is nobody else's at this moment; return how long to rest after it."""
        async with self._sessions() as session:
            await session.execute(ALLOW_LONG_TRANSACTION)
            lock = func.pg_try_advisory_xact_lock(ADVISORY, func.hashtext(id))
            if not await session.scalar(select(lock)):
                return PAUSE_SECONDS
            if not await session.scalar(_due().where(Organization.id == id)):
                return PAUSE_SECONDS  # another worker has just been there
            return await self._inspect(id, await asked_at(session, id))

    async def _inspect(self, id: OrganizationId, asked: datetime | None) -> float:
        try:
            verdict = await self._inspector.organization(id)
        except OUTAGES:
            raise
        except Exception:
            log.exception("organization_unreconcilable", organization=id)
            self._postpone(id, asked)
            return PAUSE_SECONDS
        if verdict.found or verdict.problem:
            what = verdict.counts or verdict.problem
            log.error("drift_found", organization=id, what=what)
        if verdict.problem:
            self._postpone(id, asked)
        return max(PAUSE_SECONDS, verdict.compared / RELATIONSHIPS_PER_SECOND)

    def _postpone(self, id: OrganizationId, asked: datetime | None) -> None:
        self._postponed[id] = Postponed(asked, time.monotonic() + POSTPONED_SECONDS)


def _postponed(asked: Mapping[OrganizationId, datetime | None]) -> ColumnElement[bool]:
    """Tell whether an organization is among these, and nobody has asked for it since."""
    ids = literal(list(asked), ARRAY(Text))
    times = literal(list(asked.values()), ARRAY(DateTime(timezone=True)))
    each = func.unnest(ids, times).table_valued("id", "asked_at").render_derived()
    same = Reconciliation.asked_at.is_not_distinct_from(each.c.asked_at)
    return exists().select_from(each).where(each.c.id == Organization.id, same)


def _due() -> Select[OrganizationId]:
    """Select the organizations that were not looked at just now; ended ones should hold nothing."""
    recently: ColumnElement[bool] = Reconciliation.checked_at > func.clock_timestamp() - OFTEN
    return (
        select(Organization.id)
        .outerjoin(Reconciliation, Reconciliation.organization_id == Organization.id)
        .where(
            or_(
                Reconciliation.checked_at.is_(None), Reconciliation.asked_at.is_not(None), ~recently
            )
        )
    )
