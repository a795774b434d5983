"""Compares one organization with SpiceDB, even while it changes."""

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
    """The organization was changed during the comparison, so a difference may not be drift."""


class OrganizationComparer:
    """Compares the rows of an organization with SpiceDB."""

    def __init__(self, ledger: Ledger, engine: Engine, catalog: Catalog) -> None:
        self.ledger, self.engine, self.catalog = ledger, engine, catalog

    async def compare(self, attribution: Attribution, id: OrganizationId) -> Comparison:
        """Return how SpiceDB differs from the rows.

        The organization is compared between changes. It is locked only if changes leave no pause.
        Raises OtherHistory, OrganizationStopped, and OrganizationBusy if positions stay pending.
        """
        for _ in range(ATTEMPTS):
            with suppress(Moved):
                return await self._between_changes(id)
            await asyncio.sleep(PAUSE_SECONDS)
        async with self.locked(attribution, id) as change:
            return await self.under_lock(change.session, id)

    @asynccontextmanager
    async def locked(self, attribution: Attribution, id: OrganizationId) -> AsyncIterator[Change]:
        """Open a change under the lock of an organization, which may have ended."""
        async with self.ledger.sessions() as session:
            [progress] = await newest_progress(session, [id])
        opening = self.ledger.hold if progress.ended else self.ledger.change
        async with opening(attribution, id) as change:
            yield change

    async def under_lock(self, session: AsyncSession, id: OrganizationId) -> Comparison:
        """Return how SpiceDB differs from the rows of an organization that this session has locked."""
        await session.execute(ALLOW_LONG_TRANSACTION)
        progress = await _settled(session, id)
        if progress is None:
            raise OrganizationBusy(organization=id)
        return await compare(session, self.engine, self.catalog, progress)

    async def _between_changes(self, id: OrganizationId) -> Comparison:
        """Compare the rows of one snapshot. Raises Moved if the organization changed meanwhile."""
        async with self.ledger.sessions() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            await session.execute(ALLOW_LONG_TRANSACTION)
            progress = await _settled(session, id)
            if progress is None:
                raise Moved
            try:
                comparison = await compare(session, self.engine, self.catalog, progress)
            except OtherHistory:
                await self._refuse_moved(progress)
                raise
        if comparison.differences:
            await self._refuse_moved(progress)
        return comparison

    async def _refuse_moved(self, progress: LedgerProgress) -> None:
        """Raise Moved if the organization's progress has changed."""
        async with self.ledger.sessions() as session:
            if await _settled(session, progress.organization) != progress:
                raise Moved


async def _settled(session: AsyncSession, id: OrganizationId) -> LedgerProgress | None:
    """Return the organization's progress if SpiceDB confirmed every position, otherwise None.

    Raises OrganizationStopped.
    """
    [progress] = await newest_progress(session, [id])
    if progress.refusal is not None:
        raise OrganizationStopped(organization=id, refusal=progress.refusal)
    return progress if progress.delivered else None
