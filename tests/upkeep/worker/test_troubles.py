"""Ends come while parts are away, stopped or busy, in crowds, and under several workers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta, tzinfo
from functools import partial
from typing import Self

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from teamaccess.changes import Ledger
from teamaccess.delivery import Applier
from teamaccess.ledger import create_pool, session_maker
from teamaccess.relationships import Delete, parse_update
from teamaccess.upkeep.worker.ends import BATCH
from teamaccess.upkeep.worker.sweeper import Sweeper
from tests.support.connections import Connection
from tests.support.sides import agreed, entries, graph
from tests.support.spicedb_proxy import another_process, beside, linked, until, working
from tests.support.steps import (
    end_membership,
    end_role,
    enlist,
    events,
    has_stopped,
    members,
)
from tests.support.world import Person, Team, World
from tests.upkeep.worker.crowds import crowd

SOON = timedelta(seconds=1)
AGO = timedelta(seconds=-1)
FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')
"""


async def temporary(team: Team, more: timedelta) -> Person:
    """Somebody whose role ends so much later."""
    people = await enlist(team, {"temporary": ["support"]})
    await end_role(team, people["temporary"], "support", await team.world.service.now() + more)
    return people["temporary"]


async def has_ended(team: Team, whom: Person) -> bool:
    """Whether the role is gone from the rows and from SpiceDB."""
    left = {str(each.subject) for each in await graph(team) if each.relation == "support"}
    return (await members(team))[whom.id] == [] and f"user:{whom.id}" not in left


async def kinds(team: Team) -> list[str]:
    """What the newest events tell of."""
    return [each.kind for each in await events(team)]


async def test_ends_that_come_while_everything_is_down_are_met_at_the_next_start(
    acme: Team,
) -> None:
    bob = await temporary(acme, AGO)
    eve = (await enlist(acme, {"eve": ["support"]}))["eve"]
    await end_membership(acme, eve, await acme.world.service.now() - timedelta(days=3))
    async with another_process(acme.world) as world, working(world):
        await until(lambda: has_ended(acme, bob))
        await until(lambda: gone(acme, eve))
    await agreed(acme)


@pytest.mark.parametrize("step", [timedelta(days=1), timedelta(days=-1)])
async def test_a_process_whose_clock_is_wrong_ends_things_when_postgresql_says_so(
    acme: Team, globex: Team, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    bob = await temporary(acme, timedelta(seconds=2))
    eve = await temporary(globex, timedelta(hours=20))
    with monkeypatch.context() as patch:
        step_clock(patch, step)
        async with working(acme.world):
            await until(lambda: has_ended(acme, bob))
            await asyncio.sleep(0.5)  # nothing may happen, which nobody announces
    [entry] = (await entries(acme))[-1:]
    [update] = entry.updates
    end = parse_update(update).relationship.expiration
    assert end is not None
    assert entry.decided_at >= end
    assert (await members(globex))[eve.id] == ["support"]
    await agreed(acme)


async def test_sweepers_side_by_side_end_everything_once(acme: Team, fintoc: World) -> None:
    teams = [acme, *[await fintoc.create("branch") for _ in range(5)]]
    for team in teams:
        await crowd(team, 30, AGO)
    before = {team.id: len(await team.ledger()) for team in teams}
    async with (
        another_process(fintoc) as one,
        another_process(fintoc) as other,
        working(one),
        working(other),
        working(fintoc),
    ):
        await asyncio.gather(*(until(partial(swept_out, team)) for team in teams))
    for team in teams:
        assert len(await team.ledger()) == before[team.id] + 1
        assert (await kinds(team)).count("role_ended") == 30
        assert len(await agreed(team)) == 2 + 30 * 2


async def test_an_end_that_comes_while_spicedb_is_away_is_made_when_it_is_back(
    acme: Team, fintoc: World
) -> None:
    bob = await temporary(acme, SOON)
    async with linked(fintoc) as (second, link), working(second):
        await link.down()
        tried = len(link.seen)
        await asyncio.sleep(2.5)  # the end, and some attempts
        assert len(link.seen) == tried
        assert (await members(acme))[bob.id] == ["support"]
        await link.up()
        await until(lambda: has_ended(acme, bob))
    await agreed(acme)


async def test_postgresql_may_be_away_for_a_while(acme: Team, superuser: Connection) -> None:
    bob = await temporary(acme, SOON)
    async with sweeper_of_its_own(acme.world, "sweeps_alone"):
        await superuser.execute("ALTER ROLE teamaccess NOLOGIN")
        try:
            await superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'sweeps_alone'"
            )
            await asyncio.sleep(2)
        finally:
            await superuser.execute("ALTER ROLE teamaccess LOGIN")
        await until(lambda: has_ended(acme, bob))
    await agreed(acme)


async def test_in_a_stopped_organization_ends_come_all_the_same(
    acme: Team, application: Connection
) -> None:
    bob = await temporary(acme, SOON)
    await application.execute(FORGED, acme.id, f"TOUCH organization:{acme.id}#overlord@user:eve")
    await has_stopped(acme)
    async with working(acme.world):
        await until(lambda: has_ended(acme, bob))
    assert (await kinds(acme))[-1] == "role_ended"


async def test_a_busy_organization_waits_for_its_turn_and_nobody_waits_with_it(
    acme: Team, globex: Team, application: Connection
) -> None:
    bob, eve = await temporary(acme, AGO), await temporary(globex, AGO)
    busy = application.transaction()
    await busy.start()
    await application.execute("SELECT ledger_lock($1)", [acme.id])
    async with another_process(acme.world) as second, working(second):
        await until(lambda: has_ended(globex, eve))
        await asyncio.sleep(2.5)  # longer than anybody waits for a lock
        assert (await members(acme))[bob.id] == ["support"]
        await busy.rollback()
        await until(lambda: has_ended(acme, bob))
    await agreed(acme)


async def test_an_organization_whose_history_spicedb_does_not_have_keeps_nobody_waiting(
    acme: Team, globex: Team, superuser: Connection
) -> None:
    bob, eve = await temporary(acme, SOON), await temporary(globex, SOON)
    head = "UPDATE ledger_heads SET hash = sha256(hash) WHERE organization_id = $1"
    await superuser.execute(head, acme.id)
    async with working(acme.world):
        await until(lambda: has_ended(globex, eve))
        assert (await members(acme))[bob.id] == ["support"]
    await agreed(globex)


async def test_a_crowd_ends_in_batches_and_others_get_a_word_in_between(acme: Team) -> None:
    await crowd(acme, 3 * BATCH, AGO)
    before = len(await acme.ledger())
    async with working(acme.world):
        renamed = await acme.administrator.ask("PATCH", acme.path, json={"name": "Between"})
        assert renamed.status_code == 200
        await until(lambda: swept_out(acme))
    decided = (await entries(acme))[before:]
    assert [len(entry.updates) for entry in decided] == [BATCH] * 3
    assert len({entry.request_id for entry in decided}) == 3
    updates = [parse_update(each) for entry in decided for each in entry.updates]
    assert all(isinstance(each, Delete) for each in updates)
    assert len(await agreed(acme)) == 2 + 3 * BATCH * 2


async def test_a_cancelled_sweeper_leaves_nothing_half_done(acme: Team) -> None:
    await crowd(acme, 2 * BATCH, AGO)
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3):
        async with working(acme.world):
            await asyncio.sleep(delay)
    async with working(acme.world):
        await until(lambda: swept_out(acme))
    assert (await kinds(acme)).count("role_ended") == 2 * BATCH
    await agreed(acme)


async def gone(team: Team, whom: Person) -> bool:
    """Whether somebody is no member any more."""
    return whom.id not in await members(team)


async def swept_out(team: Team) -> bool:
    """Whether no support is left, in the rows and in SpiceDB."""
    return not any("support" in roles for roles in (await members(team)).values()) and not any(
        each.relation == "support" for each in await graph(team)
    )


def step_clock(patch: pytest.MonkeyPatch, step: timedelta) -> None:
    """Let every clock that the product's code could read be wrong."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + step

    for name, module in list(sys.modules.items()):
        if name.startswith("teamaccess.") and getattr(module, "datetime", None) is datetime:
            patch.setattr(module, "datetime", Wrong)


@asynccontextmanager
async def sweeper_of_its_own(world: World, name: str) -> AsyncIterator[None]:
    """A sweeper whose connections to PostgreSQL can be told from all others."""
    settings, catalog = world.settings, world.service.catalog
    async with AsyncExitStack() as stack:
        pool, reads, marks = (
            create_pool(settings.sqlalchemy_url, application_name=name) for _ in range(3)
        )
        for each in (pool, reads, marks):
            stack.push_async_callback(each.dispose)
        alone = {"isolation_level": "AUTOCOMMIT"}
        applier = Applier(world.service.engine, marks.execution_options(**alone))
        stack.push_async_callback(applier.close)
        ledger = Ledger(session_maker(pool, catalog), applier, world.service.engine, catalog)
        questions = async_sessionmaker(reads.execution_options(**alone))
        async with beside(Sweeper(ledger, questions).run()):
            await asyncio.sleep(0.5)  # so that it has connections to lose
            yield
