"""SpiceDB dies, is late, answers errors, or applies a write and cannot say so."""

from functools import partial

import pytest
from grpc import StatusCode

from tests.faults.busy import busy
from tests.faults.crowd import Crowd, House, Manner, Someone
from tests.faults.deeds import reactivate, suspend
from tests.faults.deployment import Deployment
from tests.faults.judgement import everything_holds
from tests.faults.moments import held
from tests.faults.points import Point
from tests.faults.recovery import not_recovered
from tests.faults.weather import CODES
from tests.support.spicedb_proxy import Writes, until


async def test_killed_and_started_again_among_changes_it_misses_none(
    deployment: Deployment, crowd: Crowd
) -> None:
    await crowd.gather(3)
    async with busy(crowd) as work:
        for _ in range(2):
            await work.goes_on()
            await deployment.kill_spicedb()
            await deployment.start_spicedb()
        await work.goes_on()
    await everything_holds(deployment, crowd)


@pytest.mark.parametrize("seconds", [0.2, 2.5])
async def test_late_answers_delay_the_promise_and_break_none(
    deployment: Deployment, crowd: Crowd, seconds: float
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(north, Point.BEFORE_WRITE, ask) as asking:
        north.spicedb.answers.seconds = seconds
    late = await asking
    await north.spicedb.mend()
    assert late.last.status == (204 if seconds < 2 else 202)
    again = await reactivate(crowd, house, Manner(ana, stubborn=True), bob)
    assert again.acknowledged
    await everything_holds(deployment, crowd)


async def test_a_write_whose_answer_is_cut_off_counts_once(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(north, Point.BEFORE_WRITE, ask) as asking:
        north.spicedb.answers.hold()
    await until(lambda: _shut_out(deployment, house, bob))
    await north.spicedb.tear()
    await north.spicedb.mend()
    assert (await asking).acknowledged
    await everything_holds(deployment, crowd)


async def test_a_write_that_was_on_the_way_for_long_changes_nothing_any_more(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(north, Point.BEFORE_WRITE, ask) as asking:
        north.spicedb.requests.hold()
    assert (await asking).last.status == 202
    back = await reactivate(crowd, house, Manner(ana, stubborn=True, api="south"), bob)
    assert back.last.status == 204
    north.spicedb.requests.flow()
    await everything_holds(deployment, crowd)
    assert await deployment.bystander.allowed(house.id, bob.id or "")


@pytest.mark.parametrize("writes", [Writes.FAIL, Writes.LOSE_ANSWERS])
@pytest.mark.parametrize("code", CODES)
async def test_an_error_is_an_outage_that_passes(
    deployment: Deployment, crowd: Crowd, code: StatusCode, writes: Writes
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    wire = deployment.programs["north"].spicedb
    deployment.link.code, deployment.link.writes = code, writes
    await wire.lead_to(deployment.link_address)
    deed = await suspend(crowd, house, Manner(ana, api="north"), bob)
    assert deed.last.status in (202, 204), str(deed)
    await until(lambda: _shut_out(deployment, house, bob))
    await everything_holds(deployment, crowd)


async def test_when_the_errors_end_every_api_enforces_by_itself_again(
    deployment: Deployment,
) -> None:
    deployment.link.code, deployment.link.writes = StatusCode.INTERNAL, Writes.FAIL
    await deployment.programs["south"].spicedb.lead_to(deployment.link_address)
    assert await not_recovered(deployment) == ["south enforces nothing any more"]
    await deployment.mend()
    assert await not_recovered(deployment) == []


async def _shut_out(deployment: Deployment, house: House, whom: Someone) -> bool:
    return await deployment.bystander.allowed(house.id, whom.id or "") is False
