"""The faults of the storm test. Each begins, lasts a moment and ends."""

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random

import asyncpg
from grpc import StatusCode

from teamaccess.local.postgres.server import APPLICATION, SUPERUSER
from tests.faults.cluster import Cluster
from tests.faults.crash_points import CrashPoint
from tests.faults.program import Program
from tests.support.spicedb_proxy import Writes

Fault = Callable[[Cluster, Random], Awaitable[None]]
REACHED_SECONDS = 3.0
"""How long an armed crash point waits for a change to reach it."""
LONGEST_PAUSE_SECONDS = 4.0
"""The longest pause between two faults of one kind."""
CODES = [
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.ABORTED,
    StatusCode.INTERNAL,
    StatusCode.RESOURCE_EXHAUSTED,
]
TERMINATE = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = '{APPLICATION}' AND random() < $1
"""


async def _last(chance: Random, shortest: float, longest: float) -> None:
    """Let a fault last for a random time, because its length decides what it breaks."""
    await asyncio.sleep(chance.uniform(shortest, longest))


# The servers ------------------------------------------------------------------------------------


async def spicedb_killed(cluster: Cluster, chance: Random) -> None:
    await cluster.kill_spicedb()
    await _last(chance, 0, 2)
    await cluster.start_spicedb()


async def spicedb_killed_at_a_point(cluster: Cluster, chance: Random) -> None:
    await _end_server_at(
        cluster, chance, CrashPoint.BEFORE_WRITE, cluster.spicedb.pid, signal.SIGKILL
    )
    await cluster.kill_spicedb()
    await cluster.start_spicedb()


async def spicedb_frozen(cluster: Cluster, chance: Random) -> None:
    cluster.freeze_spicedb()
    await _last(chance, 0.5, 4)
    cluster.thaw_spicedb()


async def postgres_restarted(cluster: Cluster, chance: Random) -> None:
    await cluster.stop_postgres(chance.choice([signal.SIGINT, signal.SIGQUIT]))
    await _last(chance, 0, 1)
    await cluster.start_postgres()


async def postgres_killed(cluster: Cluster, chance: Random) -> None:
    await cluster.kill_postgres()
    await cluster.start_postgres()


async def postgres_crashed_at_a_point(cluster: Cluster, chance: Random) -> None:
    point = chance.choice(list(CrashPoint))
    await _end_server_at(cluster, chance, point, cluster.postgres.pid, signal.SIGQUIT)
    await cluster.stop_postgres(signal.SIGQUIT)
    await cluster.start_postgres()


async def backends_terminated(cluster: Cluster, chance: Random) -> None:
    connection = await asyncpg.connect(cluster.postgres.url(APPLICATION, SUPERUSER))
    try:
        await connection.fetch(TERMINATE, chance.random())
    finally:
        await connection.close()


# The programs and their wires -------------------------------------------------------------------


async def program_killed(cluster: Cluster, chance: Random) -> None:
    program = _random_program(cluster, chance)
    await program.kill()
    await program.start()


async def program_killed_at_a_point(cluster: Cluster, chance: Random) -> None:
    program = _random_program(cluster, chance)
    program.crash_points.arm(chance.choice(list(CrashPoint)), signal.SIGKILL)
    with suppress(TimeoutError):
        await program.wait_until_dead(REACHED_SECONDS)
    await program.kill()
    await program.start()


async def program_frozen_at_a_point(cluster: Cluster, chance: Random) -> None:
    program = _random_program(cluster, chance)
    program.crash_points.arm(chance.choice(list(CrashPoint)), signal.SIGSTOP)
    with suppress(TimeoutError):
        await program.wait_until_frozen(REACHED_SECONDS)
        await _last(chance, 0.5, 6)
    program.crash_points.disarm()
    program.thaw()


async def spicedb_late(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).spicedb
    chance.choice([wire.requests, wire.answers]).seconds = chance.choice([0.2, 0.8, 2.5])
    await _last(chance, 1, 4)
    await wire.repair()


async def spicedb_cut_after_applying(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).spicedb
    wire.answers.hold()
    await _last(chance, 0.1, 0.6)
    await wire.disconnect()
    await wire.repair()


async def spicedb_refusing_connections(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).spicedb
    await wire.refuse()
    await _last(chance, 0.2, 2)
    await wire.repair()


async def spicedb_in_a_black_hole(cluster: Cluster, chance: Random) -> None:
    """Data that was held arrives late or never."""
    wire = _random_program(cluster, chance).spicedb
    wire.requests.hold()
    wire.answers.hold()
    await _last(chance, 0.5, 5)
    if chance.random() < 0.5:
        await wire.disconnect()
    await wire.repair()


async def spicedb_answering_errors(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).spicedb
    cluster.error_proxy.code = chance.choice(CODES)
    cluster.error_proxy.writes = chance.choice([Writes.FAIL, Writes.LOSE_ANSWERS])
    await wire.connect_to(cluster.error_proxy_address)
    await _last(chance, 0.5, 3)
    await wire.connect_to(cluster.spicedb_address)


async def commit_without_an_answer(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).database
    wire.hold_answers_after(b"COMMIT")
    await _last(chance, 0.2, 1)
    await wire.disconnect()
    await wire.repair()


async def postgres_connections_cut(cluster: Cluster, chance: Random) -> None:
    wire = _random_program(cluster, chance).database
    if chance.random() < 0.5:
        await wire.disconnect()
        return
    await wire.refuse()
    await _last(chance, 0.1, 1)
    await wire.repair()


SERVERS: Mapping[Fault, int] = {
    spicedb_killed: 3,
    spicedb_killed_at_a_point: 3,
    spicedb_frozen: 3,
    postgres_restarted: 2,
    postgres_killed: 1,
    postgres_crashed_at_a_point: 2,
    backends_terminated: 4,
}
PROGRAMS: Mapping[Fault, int] = {
    program_killed: 1,
    program_killed_at_a_point: 4,
    program_frozen_at_a_point: 3,
    spicedb_late: 2,
    spicedb_cut_after_applying: 4,
    spicedb_refusing_connections: 2,
    spicedb_in_a_black_hole: 2,
    spicedb_answering_errors: 4,
    commit_without_an_answer: 4,
    postgres_connections_cut: 2,
}


class FaultInjector:
    """Injects one fault after another into the servers, and concurrently into the programs."""

    def __init__(self, cluster: Cluster, chance: Random) -> None:
        self.faults: Counter[str] = Counter()
        self._cluster, self._chance = cluster, chance
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Inject faults until stopped. A fault that is under way then still ends."""
        async with asyncio.TaskGroup() as group:
            for kinds in (SERVERS, PROGRAMS):
                group.create_task(self._inject(kinds))

    async def _inject(self, kinds: Mapping[Fault, int]) -> None:
        while not self._stopping.is_set():
            [fault] = self._chance.choices(list(kinds), list(kinds.values()))
            self.faults[fault.__name__] += 1
            await fault(self._cluster, self._chance)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(0.5, LONGEST_PAUSE_SECONDS)):
                    await self._stopping.wait()

    def stop(self) -> None:
        """Inject no more faults."""
        self._stopping.set()


def _random_program(cluster: Cluster, chance: Random) -> Program:
    return chance.choice(list(cluster.programs.values()))


async def _end_server_at(
    cluster: Cluster, chance: Random, point: CrashPoint, pid: int, kill: signal.Signals
) -> None:
    """End a server when a change reaches the crash point, if one does in time."""
    program = _random_program(cluster, chance)
    program.crash_points.arm(point, kill, pid)
    with suppress(TimeoutError):
        await program.wait_until_passed(point, REACHED_SECONDS)
    program.crash_points.disarm()
