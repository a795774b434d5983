"""Reconcile one tenant or all of them: compare, record findings, and repair drift on request."""

from collections.abc import AsyncIterator, Iterable

import structlog
from sqlalchemy import ARRAY, Text, any_, literal, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from teamaccess.catalog import Catalog
from teamaccess.changes import Ledger
from teamaccess.common.errors import Conflict, TeamaccessError
from teamaccess.common.postgres.outages import is_outage
from teamaccess.engine import Engine, EngineRefused
from teamaccess.ledger import (
    Attribution,
    OrganizationBusy,
    OrganizationStopped,
    OtherHistory,
    UnknownOrganization,
    database_time,
)
from teamaccess.storage import Organization, OrganizationId
from teamaccess.upkeep.reconciliation.comparer import OrganizationComparer
from teamaccess.upkeep.reconciliation.comparison import Comparison
from teamaccess.upkeep.reconciliation.ledger_check import LedgerDisagrees
from teamaccess.upkeep.reconciliation.repair import repair
from teamaccess.upkeep.reconciliation.result import DeleteBudget, ReconcileResult, TooManyDeletes
from teamaccess.upkeep.reconciliation.results import (
    requested_at,
    save_agreement,
    save_failure,
    save_other_history,
    save_result,
    save_unknown_tenant,
)
from teamaccess.upkeep.reconciliation.scan import OnProgress, find_suspects
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, Tenant
from teamaccess.upkeep.reconciliation.unknown_tenants import (
    UnknownTenant,
    group_by_name,
    inspect_tenant,
    purge_tenant,
)

BLOCKING_ERRORS = (OtherHistory, OrganizationBusy, OrganizationStopped)
"""Errors because of which one organization cannot be compared. The others still are."""

log = structlog.get_logger()


class NotCompared(Conflict):
    """An organization could not be compared, because of its rows or a bug."""

    message = (
        "{organization} could not be compared. The log has the reason (comparison_failed). Nothing "
        "was repaired there."
    )


def is_expected(error: Exception) -> bool:
    """Return whether the error is a refusal, or an outage that may pass by itself."""
    if isinstance(error, DBAPIError):
        return is_outage(error)
    return isinstance(error, TeamaccessError | EngineRefused | SQLAlchemyError | OSError)


class Inspector:
    """Compares rows with SpiceDB. With a delete budget it also repairs the differences."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        catalog: Catalog,
        attribution: Attribution,
        budget: DeleteBudget | None = None,
    ) -> None:
        self._sessions, self._engine, self._catalog = ledger.sessions, engine, catalog
        self._comparer = OrganizationComparer(ledger, engine, catalog)
        self._attribution, self._budget = attribution, budget

    async def reconcile_all(self, on_progress: OnProgress) -> AsyncIterator[ReconcileResult]:
        """Yield a result for each tenant that differs, and record that all others agree."""
        async with self._sessions() as session:
            since = await database_time(session)
        suspects, complete = await self._suspects(on_progress)
        organizations = await self._organizations(suspects)
        for id in sorted(organizations):
            result = await self.reconcile_organization(id)
            if result.found or result.problem:
                yield result
        unknown = [each for each in suspects if each.organization not in organizations]
        for unknown_tenant in group_by_name(unknown):
            result = await self._reconcile_unknown_tenant(unknown_tenant)
            if result.found:
                yield result
        if complete:
            names = {*organizations, *(each.name for each in unknown)}
            await save_agreement(self._sessions, since, names)

    async def _suspects(self, on_progress: OnProgress) -> tuple[list[Tenant], bool]:
        """Return the tenants that may differ, and whether all tenants were scanned.

        If a row cannot be read, every organization is a suspect, and tenants that exist only in SpiceDB
        are not found.
        """
        suspects = find_suspects(self._sessions, self._engine, self._catalog, on_progress)
        try:
            return [tenant async for tenant in suspects], True
        except Exception as error:
            if is_expected(error):
                raise
            log.exception("scan_failed")
        async with self._sessions() as session:
            ids = await session.scalars(select(Organization.id))
            return [Tenant(ORGANIZATION, id) for id in ids], False

    async def reconcile_tenant(self, name: str) -> ReconcileResult:
        """Return the result for one tenant, which may exist in SpiceDB alone.

        Raises UnknownOrganization if it exists nowhere.
        """
        tenants = [
            Tenant(each, name if each == ORGANIZATION else f"{name}/")
            for each in self._catalog.resource_types
        ]
        if await self._organizations(tenants):
            return await self.reconcile_organization(OrganizationId(name))
        result = await self._reconcile_unknown_tenant((name, tenants))
        if not result.found:
            raise UnknownOrganization(organization=name)
        return result

    async def reconcile_organization(self, id: OrganizationId) -> ReconcileResult:
        """Compare an organization, which may have ended; record and return the result.

        If it cannot be compared, for example because one of its rows cannot be read, that is a finding.
        """
        try:
            return await self._reconcile(id)
        except Exception as error:
            if is_expected(error):
                raise
            log.exception("comparison_failed", organization=id)
            await save_failure(self._sessions, id)
            return ReconcileResult(id).with_problem(NotCompared(organization=id))

    async def _reconcile(self, id: OrganizationId) -> ReconcileResult:
        async with self._sessions() as session:
            requested = await requested_at(session, id)
        try:
            comparison = await self._comparer.compare(self._attribution, id)
        except BLOCKING_ERRORS as problem:
            if isinstance(problem, OtherHistory):
                await save_other_history(self._sessions, id)
            return ReconcileResult(id).with_problem(problem)
        result = await self._repair(id, comparison)
        await save_result(self._sessions, result, comparison, requested)
        return result

    async def _repair(self, id: OrganizationId, comparison: Comparison) -> ReconcileResult:
        result = ReconcileResult.of(comparison)
        if self._budget is None or not result.found:
            return result
        try:
            return await repair(self._comparer, self._attribution, id, self._budget)
        except TooManyDeletes as too_many:
            result.needed = len(comparison.deletes(self._catalog))
            return result.with_problem(too_many)
        except (LedgerDisagrees, *BLOCKING_ERRORS) as problem:
            return result.with_problem(problem)

    async def _reconcile_unknown_tenant(self, unknown_tenant: UnknownTenant) -> ReconcileResult:
        result = await inspect_tenant(self._engine, unknown_tenant)
        name, tenants = unknown_tenant
        if await self._organizations(tenants):  # created since the scan
            return await self.reconcile_organization(OrganizationId(name))
        if result.found and self._budget is not None:
            try:
                await purge_tenant(
                    self._sessions,
                    self._engine,
                    self._attribution,
                    unknown_tenant,
                    result,
                    self._budget,
                )
            except TooManyDeletes as too_many:
                result.needed = result.found
                result.with_problem(too_many)
        if result.found:
            await save_unknown_tenant(self._sessions, result)
        return result

    async def _organizations(self, tenants: Iterable[Tenant]) -> set[OrganizationId]:
        """Return the tenants that are organizations, including ended ones."""
        ids = {id for tenant in tenants if (id := tenant.organization) is not None}
        # an array, because there may be more ids than PostgreSQL allows parameters
        among = Organization.id == any_(literal(list(ids), ARRAY(Text)))
        async with self._sessions() as session:
            return set(await session.scalars(select(Organization.id).where(among)))
