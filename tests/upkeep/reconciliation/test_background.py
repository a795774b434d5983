"""Workers look at one organization after the other, all the time."""

import asyncio

import pytest
from sqlalchemy import func, select, text

from teamaccess.storage import Finding, FindingKind, Reconciliation
from teamaccess.upkeep.worker.reconciler import ADVISORY, PAUSE_SECONDS, Reconciler
from tests.support.spicedb_proxy import another_process, before, linked, until, working
from tests.support.world import Team, World
from tests.upkeep.reconciliation.drift import ask_for, inspector, put

OVERLORD = "organization:aaa#overlord@user:eve"
FORGED = text(
    "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)"
    " VALUES (:id, ARRAY[:update], 'user:eve', 'api', 'forged', 'none')"
)


async def test_workers_find_drift_and_keep_when_they_looked(apart: World) -> None:
    teams = [await apart.create(f"team{number}") for number in range(4)]
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
    teams = [await apart.create("acme"), await apart.create("globex")]
    async with linked(apart) as (second, link):
        link.answers = False
        async with working(second):
            await until(lambda: _asked(link.seen))
            assert await _looked_at(apart) == 0
            link.answers = True
            await until(lambda: _all_looked_at(apart, teams))


async def test_an_organization_that_cannot_be_judged_keeps_nobody_waiting(apart: World) -> None:
    teams = [await apart.create("acme"), await apart.create("globex")]
    stopped = await apart.create("aaa")
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
    await looking.reconcile_organization(acme.id)
    assert not await _is_wanted(acme)
    with monkeypatch.context() as patch:
        before(patch, acme.world, "answers", lambda: ask_for(acme))
        await looking.reconcile_organization(acme.id)
    assert await _is_wanted(acme)


async def test_what_another_worker_compares_is_not_looked_at_without_a_pause(
    apart: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await apart.create("acme")
    worker, pauses = Reconciler(apart.service), asyncio.Queue[float]()
    sleep = asyncio.sleep

    async def pausing(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await sleep(seconds)

    async with apart.service.sessions() as session:
        another = func.pg_advisory_xact_lock(ADVISORY, func.hashtext(acme.id))
        await session.execute(select(another))
        monkeypatch.setattr(asyncio, "sleep", pausing)
        looking = asyncio.create_task(worker.run())
        assert [await pauses.get() for _ in range(3)] == [PAUSE_SECONDS] * 3
        looking.cancel()
        await asyncio.wait({looking})


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
