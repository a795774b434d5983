"""What a request left behind arrives by a worker alone, also where workers die or wake up late."""

import signal
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from teamaccess.storage import OrganizationId
from tests.faults.crowd import Crowd, Manner
from tests.faults.deeds import reactivate, suspend
from tests.faults.deployment import WORKER, Deployment
from tests.faults.judgement import everything_holds
from tests.faults.moments import held
from tests.faults.points import Point
from tests.faults.program import Program
from tests.support.spicedb_proxy import until
from tests.support.world import World

END = text(
    "UPDATE role_assignments SET expires_at = :at WHERE organization_id = :here AND user_id = :user"
)
LEFT = text(
    "SELECT count(*) FROM role_assignments WHERE organization_id = :here AND expires_at IS NOT NULL"
)


async def _left_behind(deployment: Deployment, crowd: Crowd) -> None:
    """An API that does not reach SpiceDB any more, once its change is judged, leaves it to others."""
    [house] = crowd.houses
    north = deployment.programs["north"]
    ask = partial(
        suspend, crowd, house, Manner(house.administrators[0], api="north"), house.people[0]
    )
    async with held(north, Point.AFTER_COMMIT, ask) as asking:
        await north.spicedb.refuse()
    assert (await asking).last.status == 202


@pytest.mark.parametrize(
    "point", [Point.BEFORE_WRITE, Point.AFTER_WRITE, Point.BEFORE_MARK, Point.AFTER_MARK]
)
async def test_a_worker_that_dies_is_replaced(
    deployment: Deployment, crowd: Crowd, point: Point
) -> None:
    worker = deployment.programs[WORKER]
    worker.points.arm(point, signal.SIGKILL)
    await _left_behind(deployment, crowd)
    await worker.dead()
    await worker.start()
    await everything_holds(deployment, crowd)


@pytest.mark.parametrize(
    "point",
    [
        Point.BEFORE_COMMIT,
        Point.AFTER_COMMIT,
        Point.BEFORE_WRITE,
        Point.AFTER_WRITE,
        Point.AFTER_MARK,
    ],
)
async def test_a_worker_that_dies_while_it_sweeps_is_replaced(
    deployment: Deployment, crowd: Crowd, point: Point
) -> None:
    [house] = crowd.houses
    bob = house.people[0]
    worker = deployment.programs[WORKER]
    async with deployment.world() as world:
        async with world.operator(house.id) as change:
            ended = {"at": change.now + timedelta(seconds=0.5), "user": bob.id, "here": house.id}
            await change.session.execute(END, ended)
            worker.points.arm(point, signal.SIGKILL)
        await worker.dead()
        await worker.start()
        await until(lambda: _swept(world, house.id))
    await everything_holds(deployment, crowd)


async def _swept(world: World, organization: OrganizationId) -> bool:
    async with world.service.reads() as session:
        return bool(await session.scalar(LEFT, {"here": organization}) == 0)


async def test_a_worker_that_wakes_up_with_an_old_write_changes_nothing(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    worker = deployment.programs[WORKER]
    await _frozen_with_a_write(deployment, crowd, worker)
    back = await reactivate(crowd, house, Manner(ana, stubborn=True, api="south"), bob)
    assert back.last.status == 204
    worker.thaw()
    await everything_holds(deployment, crowd)
    assert await deployment.bystander.allowed(house.id, bob.id or "")


async def test_what_a_frozen_worker_keeps_another_one_brings_in_after_its_lease(
    deployment: Deployment, crowd: Crowd
) -> None:
    frozen = deployment.programs[WORKER]
    await _frozen_with_a_write(deployment, crowd, frozen)
    await deployment.add_worker("second")
    try:
        await everything_holds(deployment, crowd)
    finally:
        await deployment.remove_worker("second")
        frozen.thaw()
    await everything_holds(deployment, crowd)


async def _frozen_with_a_write(deployment: Deployment, crowd: Crowd, worker: Program) -> None:
    worker.points.arm(Point.BEFORE_WRITE, signal.SIGSTOP)
    await _left_behind(deployment, crowd)
    await worker.stands_still()


@pytest.mark.parametrize("point", [Point.BEFORE_WRITE, Point.BEFORE_MARK, Point.BEFORE_ANSWER])
async def test_an_api_that_wakes_up_with_an_old_write_changes_nothing(
    deployment: Deployment, crowd: Crowd, point: Point
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(deployment.programs["north"], point, ask) as asking:
        back = await reactivate(crowd, house, Manner(ana, stubborn=True, api="south"), bob)
        assert back.last.status == 204
    assert (await asking).acknowledged
    await everything_holds(deployment, crowd)
    assert await deployment.bystander.allowed(house.id, bob.id or "")


async def test_an_api_frozen_in_its_change_keeps_nobody_out_for_long(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob, dan = house.administrators[0], house.people[0], house.people[1]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(deployment.programs["north"], Point.BEFORE_COMMIT, ask) as asking:
        busy = await suspend(crowd, house, Manner(ana, api="south"), dan)
        assert busy.last.code == "organization_busy"
        free = await suspend(crowd, house, Manner(ana, stubborn=True, api="south"), dan)
        assert free.last.status == 204
    assert (await asking).last.code == "not_committed"
    await everything_holds(deployment, crowd)
    assert await deployment.bystander.allowed(house.id, bob.id or "")
