"""Tenants that SpiceDB knows and SQL does not: nobody decided anything that it holds of them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from itertools import groupby
from operator import attrgetter

from sqlalchemy.dialects.postgresql import insert

from teamaccess.engine import Engine
from teamaccess.events import record_alone
from teamaccess.ledger import Attribution, Sessions
from teamaccess.ledger.session import UNHURRIED
from teamaccess.ledger.write import purging
from teamaccess.models import Organization, is_organization_id
from teamaccess.reconciliation.allowance import Allowance
from teamaccess.reconciliation.comparison import EXAMPLES
from teamaccess.reconciliation.tenants import Tenant
from teamaccess.reconciliation.verdict import Verdict

Stranger = tuple[str, list[Tenant]]
"""A name, and where SpiceDB holds something of it."""


def strangers(tenants: Iterable[Tenant]) -> list[Stranger]:
    """Put what belongs to one name together."""
    by_name = attrgetter("name")
    return [(name, list(all)) for name, all in groupby(sorted(tenants, key=by_name), by_name)]


async def look(engine: Engine, stranger: Stranger) -> Verdict:
    """Return what SpiceDB holds of it: how much, and some of it."""
    name, tenants = stranger
    verdict, some = Verdict(name, known=False), list[str]()
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
    verdict: Verdict,
    allowance: Allowance,
) -> None:
    """Delete all of it, unless an organization of that name was founded meanwhile.

    As with every change it is told first and then done. Raises TooManyDeletes.
    """
    name, tenants = stranger
    allowance.spend(name, verdict.found)
    async with _kept_from_being_founded(sessions, name) as nobody_s:
        if not nobody_s:
            return
        await record_alone(
            sessions,
            attribution,
            "foreign_tenant_purged",
            subject=f"organization:{name}",
            relationships=verdict.found,
        )
        for tenant in tenants:
            await engine.delete(tenant.objects, purging(name, attribution.request_id))
    verdict.mended = verdict.found


@asynccontextmanager
async def _kept_from_being_founded(sessions: Sessions, name: str) -> AsyncIterator[bool]:
    """Take the id for as long as this lasts, and give it back; whether it could be had."""
    if not is_organization_id(name):
        yield True  # nobody can found that
        return
    async with sessions() as session:
        await session.execute(UNHURRIED)
        taking = insert(Organization).values(id=name, name=name).on_conflict_do_nothing()
        yield bool((await session.execute(taking.returning(Organization.id))).all())
        await session.rollback()
