"""Tenants that SpiceDB has and our database does not: nobody decided their relationships."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes.events import record_alone
from teamaccess.changes.events.organizations import ForeignTenantPurged
from teamaccess.delivery.provenance.runs import begin_runs
from teamaccess.delivery.writer import run_metadata
from teamaccess.engine import Engine
from teamaccess.ledger import Attribution, Sessions
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.storage import Organization, RunKind, is_organization_id
from teamaccess.upkeep.reconciliation.comparison import EXAMPLES
from teamaccess.upkeep.reconciliation.result import DeleteBudget, ReconcileResult
from teamaccess.upkeep.reconciliation.tenants import Tenant

TRANSACTION = text("SELECT pg_current_xact_id()::text")
UnknownTenant = tuple[str, list[Tenant]]
"""A name, and the groups of objects that SpiceDB holds under it."""


def group_by_name(tenants: Iterable[Tenant]) -> list[UnknownTenant]:
    """Group the tenants by name."""
    by_name = attrgetter("name")
    return [(name, list(all)) for name, all in groupby(sorted(tenants, key=by_name), by_name)]


async def inspect_tenant(engine: Engine, unknown_tenant: UnknownTenant) -> ReconcileResult:
    """Return the number of relationships that SpiceDB holds for the tenant, and examples."""
    name, tenants = unknown_tenant
    result, examples = ReconcileResult(name, known=False), list[str]()
    for tenant in tenants:
        async with aclosing(engine.export(tenant.objects)) as pages:
            async for page in pages:
                result.compared += len(page)
                examples += [stored.text for stored in page[: EXAMPLES - len(examples)]]
    if result.compared:
        result.counts, result.differences = {"foreign": result.compared}, {"foreign": examples}
    return result


async def purge_tenant(
    sessions: Sessions,
    engine: Engine,
    attribution: Attribution,
    unknown_tenant: UnknownTenant,
    result: ReconcileResult,
    budget: DeleteBudget,
) -> None:
    """Delete all relationships of the tenant, unless an organization of that name was created meanwhile.

    The event is recorded before the deletes. Raises TooManyDeletes.
    """
    name, tenants = unknown_tenant
    budget.spend(name, result.found)
    async with _reserve_id(sessions, name) as transaction:
        if transaction is None:
            return
        await record_alone(
            sessions, attribution, ForeignTenantPurged(relationships=result.found), name
        )
        metadata = await _begin(sessions, attribution, name, transaction)
        for tenant in tenants:
            await engine.delete(tenant.objects, metadata)
    result.mended = result.found


async def _begin(
    sessions: Sessions, attribution: Attribution, name: str, transaction: str
) -> dict[str, Any]:
    """Record the purge in our database; return the metadata of its writes.

    SECURITY: the watcher judges the writes that SpiceDB reports by this row alone.
    """
    # the watcher names objects other than organizations by the part of their id before the slash
    tenant = name.rpartition(":")[2].partition("/")[0]
    async with sessions.begin() as session:
        runs = await begin_runs(
            session,
            RunKind.PURGE,
            [(tenant, 0)],
            request_id=attribution.request_id,
            transaction=transaction,
        )
    return run_metadata(RunKind.PURGE, runs, attribution.request_id)


@asynccontextmanager
async def _reserve_id(sessions: Sessions, name: str) -> AsyncIterator[str | None]:
    """Reserve the id while the block runs, so that no organization of that name can be created.

    Yields the id of the reserving transaction; None if the id could not be reserved.
    """
    async with sessions() as session:
        await session.execute(ALLOW_LONG_TRANSACTION)
        transaction = str((await session.execute(TRANSACTION)).scalar_one())
        yield transaction if await _reserve(session, name) else None
        await session.rollback()


async def _reserve(session: AsyncSession, name: str) -> bool:
    """Return whether the id is free, and reserve it until the transaction ends."""
    if not is_organization_id(name):
        return True  # no organization can have this id
    reservation = insert(Organization).values(id=name, name=name).on_conflict_do_nothing()
    return bool((await session.execute(reservation.returning(Organization.id))).all())
