"""Tenants that SpiceDB knows and SQL does not: nobody decided anything that it holds of them."""

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
Stranger = tuple[str, list[Tenant]]
"""A name, and where SpiceDB holds something of it."""


def strangers(tenants: Iterable[Tenant]) -> list[Stranger]:
    """Put what belongs to one name together."""
    by_name = attrgetter("name")
    return [(name, list(all)) for name, all in groupby(sorted(tenants, key=by_name), by_name)]


async def look(engine: Engine, stranger: Stranger) -> ReconcileResult:
    """Return what SpiceDB holds of it: how much, and some of it."""
    name, tenants = stranger
    verdict, some = ReconcileResult(name, known=False), list[str]()
    for tenant in tenants:
        async with aclosing(engine.export(tenant.objects)) as pages:
            async for page in pages:
                verdict.compared += len(page)
                some += [held.text for held in page[: EXAMPLES - len(some)]]
    if verdict.compared:
        verdict.counts, verdict.differences = {"foreign": verdict.compared}, {"foreign": some}
    return verdict


async def purge(
    sessions: Sessions,
    engine: Engine,
    attribution: Attribution,
    stranger: Stranger,
    verdict: ReconcileResult,
    allowance: DeleteBudget,
) -> None:
    """Delete all of it, unless an organization of that name was founded meanwhile.

    As with every change it is told first and then done. Raises TooManyDeletes.
    """
    name, tenants = stranger
    allowance.spend(name, verdict.found)
    async with _kept_from_being_founded(sessions, name) as transaction:
        if transaction is None:
            return
        await record_alone(
            sessions, attribution, ForeignTenantPurged(relationships=verdict.found), name
        )
        purging = await _begin(sessions, attribution, name, transaction)
        for tenant in tenants:
            await engine.delete(tenant.objects, purging)
    verdict.mended = verdict.found


async def _begin(
    sessions: Sessions, attribution: Attribution, name: str, transaction: str
) -> dict[str, Any]:
    """Say in our database that this tenant will be deleted; return what its writes say.

    SECURITY: the watcher judges what SpiceDB tells by this row alone.
    """
    # what SpiceDB tells of other objects than an organization is named by what is before the slash
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
async def _kept_from_being_founded(sessions: Sessions, name: str) -> AsyncIterator[str | None]:
    """Take the id for as long as this lasts, and give it back; None where it could not be had.

    Yields the transaction in which it is taken.
    """
    async with sessions() as session:
        await session.execute(ALLOW_LONG_TRANSACTION)
        transaction = str((await session.execute(TRANSACTION)).scalar_one())
        yield transaction if await _take(session, name) else None
        await session.rollback()


async def _take(session: AsyncSession, name: str) -> bool:
    """Return whether nobody has the id, and nobody can have it before the transaction ends."""
    if not is_organization_id(name):
        return True  # nobody can found that
    taking = insert(Organization).values(id=name, name=name).on_conflict_do_nothing()
    return bool((await session.execute(taking.returning(Organization.id))).all())
