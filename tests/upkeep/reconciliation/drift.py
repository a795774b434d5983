"""Make SpiceDB differ behind the product's back, and look at it as `teamaccess reconcile` does."""

from collections.abc import Iterable

from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.upkeep.reconciliation import DeleteBudget, Inspector, ReconcileResult
from teamaccess.upkeep.worker.watcher import ASK_FOR
from tests.support.sides import graph
from tests.support.world import OPERATOR, Team, World


async def put(world: World, *texts: str) -> None:
    """Write relationships straight into SpiceDB."""
    await world.service.engine.write([Touch(Relationship.parse(text)) for text in texts])


async def lose(world: World, *texts: str) -> None:
    """Delete relationships straight from SpiceDB."""
    await world.service.engine.write([Delete(Relationship.parse(text)) for text in texts])


async def ask_for(team: Team) -> None:
    """Have it compared before all others."""
    async with team.world.service.reads() as session:
        await session.execute(ASK_FOR, {"organization": team.id})


def inspector(world: World, max_deletes: int | None = None) -> Inspector:
    """What the command makes; with a number of deletes it mends."""
    service = world.service
    budget = None if max_deletes is None else DeleteBudget(max_deletes)
    return Inspector(service.ledger, service.engine, service.catalog, OPERATOR, budget)


async def everything(world: World, max_deletes: int | None = None) -> dict[str, ReconcileResult]:
    """Look at everything; return what differs by its name."""
    looking = inspector(world, max_deletes).reconcile_all(lambda seen: None)
    return {verdict.organization: verdict async for verdict in looking}


async def one(team: Team, max_deletes: int | None = None) -> ReconcileResult:
    """Look at one organization."""
    return await inspector(team.world, max_deletes).reconcile_tenant(team.id)


async def texts(team: Team) -> list[str]:
    """What SpiceDB holds of the organization, markers aside, in order."""
    return _sorted(await graph(team))


def _sorted(relationships: Iterable[Relationship]) -> list[str]:
    return sorted(map(str, relationships))
