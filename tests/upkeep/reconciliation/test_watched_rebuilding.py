"""A worker watches while SpiceDB is filled anew: it takes that for no stranger, and finds strangers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.delivery.provenance.runs import unsettled_runs
from teamaccess.storage import Finding, FindingKind, WatchCursor
from teamaccess.upkeep import Rebuilder
from teamaccess.upkeep.worker import reconciler
from tests.support.sides import agreed, holdings
from tests.support.spicedb_proxy import before, until, working
from tests.support.steps import enlist
from tests.support.world import OPERATOR, Team, World
from tests.upkeep.reconciliation.drift import ask_for, lose, put


@pytest.fixture
async def acme(apart: World) -> Team:
    """An organization with some members."""
    team = await apart.create("acme")
    await enlist(team, {f"p{number}": ["support"] for number in range(8)})
    return team


@pytest.fixture
async def globex(apart: World) -> Team:
    """One that is not rebuilt, and in which a stranger shows how far the worker has read."""
    return await apart.create("globex")


@pytest.fixture
async def worker(apart: World, acme: Team, globex: Team) -> AsyncIterator[None]:
    """A worker that watches."""
    async with working(apart):
        await until(lambda: _begun(apart))
        yield


async def _begun(world: World) -> bool:
    async with world.service.reads() as session:
        return bool(await session.scalar(select(WatchCursor.zed_token)))


async def needs(team: Team) -> None:
    """Have it rebuilt the next time."""
    heads = [str(each) for each in await holdings(team) if each.relation == "head"]
    await lose(team.world, *heads)


async def rebuild(team: Team) -> None:
    """What the command does."""
    service = team.world.service
    rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)
    done = await rebuilder.rebuild([team.id], lambda seen: None)
    assert done.organizations == [team.id]


async def found(team: Team, kind: FindingKind = FindingKind.FOREIGN_WRITE) -> list[dict[str, Any]]:
    """What was found about it, the oldest first."""
    async with team.world.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.organization_id == team.id, Finding.kind == kind)
            .order_by(Finding.id)
        )
        return list(rows)


async def strangers(team: Team) -> list[str]:
    """What somebody has done there, heads aside: these are lost to have it rebuilt."""
    told = [text for details in await found(team) for text in details["updates"]]
    return [text for text in told if "#head@" not in text]


async def read_so_far(other: Team) -> None:
    """Wait until the worker has read all that was written before this."""
    written = f"organization:{other.id}#product@user:after-{len(await found(other))}"
    await put(other.world, written)
    await until(lambda: _told(other, written))


async def _told(team: Team, text: str) -> bool:
    return f"TOUCH {text}" in await strangers(team)


async def importing(team: Team) -> bool:
    """Whether a rebuild of it may still have written something that nobody has seen."""
    async with team.world.service.reads() as session:
        return bool(await unsettled_runs(session, [team.id]))


async def over(team: Team) -> bool:
    """Whether the end of its import has been seen."""
    return not await importing(team)


async def _pulled() -> None:
    raise ConnectionError("pulled the plug")


@pytest.mark.usefixtures("worker")
async def test_what_a_rebuilding_imports_is_no_finding(acme: Team, globex: Team) -> None:
    await needs(acme)
    await rebuild(acme)
    await read_so_far(globex)
    assert await strangers(acme) == []
    assert await over(acme)
    await agreed(acme)
    forged = f"organization:{acme.id}#administrator@user:eve"
    await put(acme.world, forged)
    await until(lambda: _told(acme, forged))


@pytest.mark.usefixtures("worker")
async def test_a_strangers_write_during_a_rebuilding_is_found(
    acme: Team, globex: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged, other = [f"organization:{team.id}#administrator@user:eve" for team in (acme, globex)]

    async def eve() -> None:
        await put(acme.world, forged)
        await put(globex.world, other)

    # nothing can be compared before it is rebuilt, and then nobody looks there again unasked
    monkeypatch.setattr(reconciler, "POSTPONED_SECONDS", 3600)
    await needs(acme)
    await ask_for(acme)
    await until(lambda: _found(acme, FindingKind.OTHER_HISTORY))
    with monkeypatch.context() as patch:
        before(patch, acme.world, "import_", eve)
        await rebuild(acme)
    await until(lambda: _told(globex, other))
    await until(lambda: _found(acme, FindingKind.DRIFT))
    [drift] = await found(acme, FindingKind.DRIFT)
    assert (drift["extra"], drift["counts"]) == ([forged], {"extra": 1})
    await until(lambda: over(acme))


async def _found(team: Team, kind: FindingKind) -> bool:
    return bool(await found(team, kind))


async def test_a_worker_that_lags_behind_knows_one_rebuilding_from_the_next(
    acme: Team, globex: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with working(acme.world):
        await until(lambda: _begun(acme.world))
        await read_so_far(globex)
    await needs(acme)
    await rebuild(acme)
    await needs(acme)
    with monkeypatch.context() as plug:
        before(plug, acme.world, "write", _pulled)
        with pytest.raises(ConnectionError):
            await rebuild(acme)
    async with working(acme.world):
        await read_so_far(globex)
        assert await strangers(acme) == []
        assert await importing(acme)
        await rebuild(acme)
        await read_so_far(globex)
        assert await over(acme)
    assert await strangers(acme) == []
    await agreed(acme)


async def test_a_worker_that_begins_at_the_present_waits_for_no_end_that_it_will_not_see(
    acme: Team, globex: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    await needs(acme)
    await rebuild(acme)
    assert await importing(acme)
    await needs(globex)
    async with AsyncExitStack() as workers:

        async def begins() -> None:
            await workers.enter_async_context(working(acme.world))
            await until(lambda: _begun(acme.world))

        before(monkeypatch, acme.world, "import_", begins)
        await rebuild(globex)
        assert await over(acme)
        await read_so_far(acme)
        assert await over(globex)
        assert await strangers(globex) == []
