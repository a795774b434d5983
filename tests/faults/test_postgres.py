"""PostgreSQL is restarted, crashes, or goes away at the worst moment."""

import asyncio
import signal

from tests.faults.crowd import Crowd, Manner
from tests.faults.deeds import suspend
from tests.faults.deployment import Deployment
from tests.faults.judgement import everything_holds
from tests.faults.points import Point

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
    north = deployment.programs["north"]
    deployment.postgres.psql(LAZY)
    north.points.arm(Point.BEFORE_COMMIT, signal.SIGSTOP)
    asking = asyncio.create_task(suspend(crowd, house, Manner(ana, api="north"), bob))
    await north.stands_still()
    await deployment.stop_postgres(signal.SIGQUIT)
    await deployment.start_postgres()
    deployment.postgres.psql(DILIGENT + OTHERS)
    north.thaw()
    deed = await asking
    assert not deed.acknowledged
    await everything_holds(deployment, crowd)
