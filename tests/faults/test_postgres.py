"""PostgreSQL is restarted, crashes, or goes away at the worst moment."""

import signal
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from teamaccess.local.postgres.server import APPLICATION
from tests.faults.busy import busy
from tests.faults.crowd import Crowd, House, Manner
from tests.faults.deeds import leave, suspend
from tests.faults.deployment import Deployment
from tests.faults.judgement import everything_holds
from tests.faults.moments import held
from tests.faults.points import Point
from tests.support.spicedb_proxy import until

LAZY = """
ALTER SYSTEM SET wal_writer_delay = '10s';
SELECT pg_reload_conf();
CHECKPOINT;
"""
"""Nothing goes to the disk before somebody commits."""
OTHERS = "SELECT pg_current_xact_id();\n" * 200
"""Transactions of somebody else, one after another."""
DILIGENT = """
ALTER SYSTEM RESET wal_writer_delay;
SELECT pg_reload_conf();
"""


async def test_a_crash_before_the_commit_is_never_taken_for_a_commit(
    deployment: Deployment, crowd: Crowd
) -> None:
    # PostgreSQL gives the numbers of transactions that left no trace on the disk to others.
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    deployment.postgres.psql(LAZY)
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(deployment.programs["north"], Point.BEFORE_COMMIT, ask) as asking:
        await deployment.stop_postgres(signal.SIGQUIT)
        await deployment.start_postgres()
        deployment.postgres.psql(DILIGENT + OTHERS)
    assert not (await asking).acknowledged
    await everything_holds(deployment, crowd)


async def test_a_crash_before_the_commit_is_told_as_nothing_done(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(deployment.programs["north"], Point.BEFORE_COMMIT, ask) as asking:
        await deployment.stop_postgres(signal.SIGQUIT)
        await deployment.start_postgres()
    assert (await asking).last.code == "not_committed", str(await asking) + "\n".join(
        deployment.programs["north"].said()
    )
    await everything_holds(deployment, crowd)


async def test_a_commit_whose_answer_is_lost_is_found_to_be_one(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(north, Point.BEFORE_COMMIT, ask) as asking:
        north.database.fall_silent_after(b"COMMIT")
    await until(lambda: _committed(deployment, house))
    await north.database.tear()
    await north.database.mend()
    assert (await asking).acknowledged
    await everything_holds(deployment, crowd)


async def test_who_left_without_an_answer_is_not_told_of_an_unknown_organization(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    bob = house.people[0]
    north = deployment.programs["north"]
    ask = partial(leave, crowd, house, Manner(bob, api="north"), bob)
    async with held(north, Point.BEFORE_COMMIT, ask) as asking:
        north.database.fall_silent_after(b"COMMIT")
    await until(lambda: _committed(deployment, house))
    await north.database.refuse()
    assert (await asking).last.code == "outcome_unknown"
    await north.database.mend()
    await everything_holds(deployment, crowd)
    assert await deployment.bystander.allowed(house.id, bob.id or "") is False


async def test_a_commit_that_never_arrived_is_told_as_nothing_done(
    deployment: Deployment, crowd: Crowd
) -> None:
    [house] = crowd.houses
    ana, bob = house.administrators[0], house.people[0]
    north = deployment.programs["north"]
    ask = partial(suspend, crowd, house, Manner(ana, api="north"), bob)
    async with held(north, Point.BEFORE_COMMIT, ask) as asking:
        await north.database.tear()
    assert (await asking).last.code == "not_committed", str(await asking) + "\n".join(
        deployment.programs["north"].said()
    )
    await everything_holds(deployment, crowd)


async def _committed(deployment: Deployment, house: House) -> bool:
    last = f"SELECT max(position) FROM ledger WHERE organization_id = '{house.id}'"
    return deployment.postgres.psql(last, APPLICATION) == "4\n"


async def _fast(deployment: Deployment) -> None:
    await deployment.stop_postgres(signal.SIGINT)


async def _immediate(deployment: Deployment) -> None:
    await deployment.stop_postgres(signal.SIGQUIT)


async def _killed(deployment: Deployment) -> None:
    await deployment.kill_postgres()


@pytest.mark.parametrize("end", [_fast, _immediate, _killed])
async def test_ended_and_started_again_among_changes_it_loses_none(
    deployment: Deployment, crowd: Crowd, end: Callable[[Deployment], Awaitable[None]]
) -> None:
    await crowd.gather(3)
    async with busy(crowd) as work:
        for _ in range(2):
            await work.goes_on()
            await end(deployment)
            await deployment.start_postgres()
        await work.goes_on()
    await everything_holds(deployment, crowd)
