"""Workers look at one organization after the other, all the time."""

import pytest
from sqlalchemy import func, select, text

from teamaccess.models import Finding, FindingKind, Reconciliation
from tests.faults_tools import another_process, before, linked, until, working
from tests.reconciliation.drift import ask_for, inspector, put
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


async def test_who_asks_during_a_comparison_is_not_answered_by_it(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = inspector(acme.world)
    await ask_for(acme)
    assert await _is_wanted(acme)
    await looking.organization(acme.id)
    assert not await _is_wanted(acme)
    with monkeypatch.context() as patch:
        before(patch, acme.world, "answers", lambda: ask_for(acme))
        await looking.organization(acme.id)
    assert await _is_wanted(acme)


async def _is_wanted(team: Team) -> bool:
    async with team.world.service.reads() as session:
        mine = Reconciliation.organization_id == team.id
        return await session.scalar(select(Reconciliation.asked_at).where(mine)) is not None


async def _asked(seen: list[str]) -> bool:
    return any(method.endswith("CheckBulkPermissions") for method in seen)


async def _all_looked_at(world: World, teams: list[Team]) -> bool:
    return await _looked_at(world) == len(teams)


async def _looked_at(world: World) -> int:
    async with world.service.reads() as session:
        count: int = (await session.scalars(select(func.count()).select_from(Reconciliation))).one()
        return count
