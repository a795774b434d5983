"""Look at one tenant or at all, and mend what has drifted if that is wanted."""

from collections.abc import AsyncIterator, Iterable

from sqlalchemy import ARRAY, Text, any_, literal, select

from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger
from teamaccess.engine import Engine
from teamaccess.ledger import (
    Attribution,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
    UnknownOrganization,
    database_time,
)
from teamaccess.storage import Organization, OrganizationId
from teamaccess.upkeep.reconciliation.comparer import Examiner
from teamaccess.upkeep.reconciliation.comparison import Comparison
from teamaccess.upkeep.reconciliation.ledger_check import LedgerDisagrees
from teamaccess.upkeep.reconciliation.repair import mend
from teamaccess.upkeep.reconciliation.result import DeleteBudget, ReconcileResult, TooManyDeletes
from teamaccess.upkeep.reconciliation.results import (
    asked_at,
    keep,
    keep_agreement,
    keep_other_history,
    keep_stranger,
)
from teamaccess.upkeep.reconciliation.scan import Seen, suspicious
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, Tenant
from teamaccess.upkeep.reconciliation.unknown_tenants import Stranger, look, purge, strangers

HINDRANCES = (OtherHistory, OrganizationBusy, OrganizationStopped)
"""What keeps one organization from being compared; the others still are."""


class Inspector:
    """Compares rows with SpiceDB; with an allowance it mends what differs."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        catalog: Catalog,
        attribution: Attribution,
        allowance: DeleteBudget | None = None,
    ) -> None:
        self._sessions, self._engine, self._catalog = ledger.sessions, engine, catalog
        self._examiner = Examiner(ledger, engine, catalog)
        self._attribution, self._allowance = attribution, allowance

    async def everything(self, seen: Seen) -> AsyncIterator[ReconcileResult]:
        """Yield a verdict for each tenant that differs; all others agree, which is kept."""
        async with self._sessions() as session:
            since = await database_time(session)
        suspects = [
            tenant async for tenant in suspicious(self._sessions, self._engine, self._catalog, seen)
        ]
        known = await self._known(suspects)
        for id in sorted(known):
            verdict = await self.organization(id)
            if verdict.found or verdict.problem:
                yield verdict
        unknown = [each for each in suspects if each.organization not in known]
        for stranger in strangers(unknown):
            verdict = await self._stranger(stranger)
            if verdict.found:
                yield verdict
        names = {*known, *(each.name for each in unknown)}
        await keep_agreement(self._sessions, since, names)

    async def one(self, name: str) -> ReconcileResult:
        """Return the verdict for one tenant, which may be one that only SpiceDB knows.

        Raises UnknownOrganization where nobody does.
        """
        tenants = [
            Tenant(each, name if each == ORGANIZATION else f"{name}/")
            for each in self._catalog.resource_types
        ]
        if await self._known(tenants):
            return await self.organization(OrganizationId(name))
        verdict = await self._stranger((name, tenants))
        if not verdict.found:
            raise UnknownOrganization(organization=name)
        return verdict

    async def organization(self, id: OrganizationId) -> ReconcileResult:
        """Return the verdict for an organization, ended ones too, and keep it."""
        async with self._sessions() as session:
            asked = await asked_at(session, id)
        try:
            comparison = await self._examiner.examine(self._attribution, id)
        except HINDRANCES as problem:
            if isinstance(problem, OtherHistory):
                await keep_other_history(self._sessions, id)
            return ReconcileResult(id).with_problem(problem)
        verdict = await self._mended(id, comparison)
        await keep(self._sessions, verdict, comparison, asked)
        return verdict

    async def _mended(self, id: OrganizationId, comparison: Comparison) -> ReconcileResult:
        verdict = ReconcileResult.of(comparison)
        if self._allowance is None or not verdict.found:
            return verdict
        try:
            return await mend(self._examiner, self._attribution, id, self._allowance)
        except TooManyDeletes as many:
            verdict.needed = len(comparison.deletes(self._catalog))
            return verdict.with_problem(many)
        except (LedgerDisagrees, *HINDRANCES) as problem:
            return verdict.with_problem(problem)

    async def _stranger(self, stranger: Stranger) -> ReconcileResult:
        verdict = await look(self._engine, stranger)
        name, tenants = stranger
        if await self._known(tenants):  # founded since
            return await self.organization(OrganizationId(name))
        if verdict.found and self._allowance is not None:
            try:
                await purge(
                    self._sessions,
                    self._engine,
                    self._attribution,
                    stranger,
                    verdict,
                    self._allowance,
                )
            except TooManyDeletes as many:
                verdict.needed = verdict.found
                verdict.with_problem(many)
        if verdict.found:
            await keep_stranger(self._sessions, verdict)
        return verdict

    async def _known(self, tenants: Iterable[Tenant]) -> set[OrganizationId]:
        """Return the organizations among them, the ended ones too."""
        ids = {id for tenant in tenants if (id := tenant.organization) is not None}
        # one parameter, for there may be more of them than PostgreSQL takes parameters
        among = Organization.id == any_(literal(list(ids), ARRAY(Text)))
        async with self._sessions() as session:
            return set(await session.scalars(select(Organization.id).where(among)))
