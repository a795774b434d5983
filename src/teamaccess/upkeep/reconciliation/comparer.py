"""Whether one organization has really drifted, however much it changes meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.changes import Change, Ledger
from teamaccess.delivery.progress import LedgerProgress, newest_progress
from teamaccess.engine import Engine
from teamaccess.ledger import (
    Attribution,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
)
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.storage import OrganizationId
from teamaccess.upkeep.reconciliation.compare import compare
from teamaccess.upkeep.reconciliation.comparison import Comparison

ATTEMPTS = 3
PAUSE_SECONDS = 0.3


class Moved(Exception):
    """The organization was changed meanwhile, so that a difference need not be one."""


class Examiner:
    """Compares single organizations."""

    def __init__(self, ledger: Ledger, engine: Engine, catalog: Catalog) -> None:
        self.ledger, self.engine, self.catalog = ledger, engine, catalog

    async def examine(self, attribution: Attribution, id: OrganizationId) -> Comparison:
        """Return how SpiceDB differs from the rows.

        Changes go on meanwhile; only where they leave no moment between them the organization is locked.
        Raises OtherHistory, OrganizationStopped, and OrganizationBusy where something stays pending.
        """
        for _ in range(ATTEMPTS):
            with suppress(Moved):
                return await self._between_changes(id)
            await asyncio.sleep(PAUSE_SECONDS)
        async with self.locked(attribution, id) as change:
            return await self.under_lock(change.session, id)

    @asynccontextmanager
    async def locked(self, attribution: Attribution, id: OrganizationId) -> AsyncIterator[Change]:
        """Open a change under the organization's lock; one that has ended can be locked as well."""
        async with self.ledger.sessions() as session:
            [place] = await newest_progress(session, [id])
        opening = self.ledger.hold if place.ended else self.ledger.change
        async with opening(attribution, id) as change:
            yield change

    async def under_lock(self, session: AsyncSession, id: OrganizationId) -> Comparison:
        """Return how SpiceDB differs from the rows of an organization that this session has locked."""
        await session.execute(ALLOW_LONG_TRANSACTION)
        place = await _settled(session, id)
        if place is None:
            raise OrganizationBusy(organization=id)
        return await compare(session, self.engine, self.catalog, place)

    async def _between_changes(self, id: OrganizationId) -> Comparison:
        """Compare rows as one snapshot has them; raises Moved if they did not stay so."""
        async with self.ledger.sessions() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            await session.execute(ALLOW_LONG_TRANSACTION)
            place = await _settled(session, id)
            if place is None:
                raise Moved
            try:
                comparison = await compare(session, self.engine, self.catalog, place)
            except OtherHistory:
                await self._refuse_moved(place)
                raise
        if comparison.differences:
            await self._refuse_moved(place)
        return comparison

    async def _refuse_moved(self, place: LedgerProgress) -> None:
        """Raise Moved if the organization does not stand there any more."""
        async with self.ledger.sessions() as session:
            if await _settled(session, place.organization) != place:
                raise Moved


async def _settled(session: AsyncSession, id: OrganizationId) -> LedgerProgress | None:
    """Return where the organization stands if SpiceDB is known to have it all, else None."""
    [place] = await newest_progress(session, [id])
    if place.refusal is not None:
        raise OrganizationStopped(organization=id, refusal=place.refusal)
    return place if place.delivered else None
