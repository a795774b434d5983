"""Workers look at one organization after the other, all the time."""

from sqlalchemy import func, select, text

from teamaccess.models import Finding, FindingKind, Reconciliation
from tests.faults_tools import another_process, linked, until, working
from tests.reconciliation.drift import put
from tests.world import Team, World

OVERLORD = "organization:aaa#overlord@user:eve"
FORGED = text(
    "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)"
    " VALUES (:id, ARRAY[:update], 'user:eve', 'api', 'forged', 'none')"
)


async def test_workers_find_drift_and_keep_when_they_looked(apart: World) -> None:
    teams = [await apart.found(f"team{number}") for number in range(4)]
    drifted = teams[2]
    await put(apart, f"organization:{drifted.id}#support@user:stranger")
    async with another_process(apart) as second, working(apart), working(second):
        await until(lambda: _all_looked_at(apart, teams))
    async with apart.service.reads() as session:
        looked = dict(
            (
                await session.execute(
                    select(Reconciliation.organization_id, Reconciliation.differences)
                )
            ).all()
        )
        drift = select(Finding.organization_id).where(Finding.kind == FindingKind.DRIFT)
        about = list(await session.scalars(drift))
    assert looked == {team.id: int(team is drifted) for team in teams}
    assert about == [drifted.id]


async def test_a_worker_goes_on_after_an_outage(apart: World) -> None:
    teams = [await apart.found("acme"), await apart.found("globex")]
    async with linked(apart) as (second, link):
        link.answers = False
        async with working(second):
            await until(lambda: _asked(link.seen))
            assert await _looked_at(apart) == 0
            link.answers = True
            await until(lambda: _all_looked_at(apart, teams))


async def test_an_organization_that_cannot_be_judged_keeps_nobody_waiting(apart: World) -> None:
    teams = [await apart.found("acme"), await apart.found("globex")]
    stopped = await apart.found("aaa")
    async with apart.service.sessions() as session:
        await session.execute(FORGED, {"id": stopped.id, "update": f"TOUCH {OVERLORD}"})
        await session.commit()
    assert (await stopped.invite("eve", ["product"])).status_code == 503
    async with working(apart):
        await until(lambda: _all_looked_at(apart, teams))
    assert await _looked_at(apart) == len(teams)


async def _asked(seen: list[str]) -> bool:
    return any(method.endswith("CheckBulkPermissions") for method in seen)


async def _all_looked_at(world: World, teams: list[Team]) -> bool:
    return await _looked_at(world) == len(teams)


async def _looked_at(world: World) -> int:
    async with world.service.reads() as session:
        count: int = (await session.scalars(select(func.count()).select_from(Reconciliation))).one()
        return count
