"""A process that serves a change is killed at any moment of it: the change is there whole, or not."""

import signal

import pytest

from tests.faults.crowd import Crowd, Manner
from tests.faults.deeds import suspend
from tests.faults.deployment import Deployment
from tests.faults.judgement import everything_holds
from tests.faults.points import Point

COMMITTED = [point for point in Point if point is not Point.BEFORE_COMMIT]


async def test_killed_before_the_commit_a_change_leaves_nothing(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    north.points.arm(Point.BEFORE_COMMIT, signal.SIGKILL)
    cut = await suspend(crowd, house, Manner(ana, api="north"), bob)
    await north.dead()
    assert cut.unknown
    assert await deployment.bystander.allowed(house.id, bob.id or "")
    done = await suspend(crowd, house, Manner(ana, api="south"), bob)
    assert done.acknowledged
    await north.start()
    await everything_holds(deployment, crowd)


@pytest.mark.parametrize("point", COMMITTED)
async def test_killed_after_the_commit_a_change_arrives_all_the_same(
    deployment: Deployment, crowd: Crowd, point: Point
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    north.points.arm(point, signal.SIGKILL)
    cut = await suspend(crowd, house, Manner(ana, api="north"), bob)
    await north.dead()
    assert cut.unknown
    again = await suspend(crowd, house, Manner(ana, api="south"), bob)
    assert again.last.code == "already_suspended"
    await north.start()
    await everything_holds(deployment, crowd)
    assert not await deployment.bystander.allowed(house.id, bob.id or "")
