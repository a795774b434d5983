"""SpiceDB's Watch reports some writes again. They are judged once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import make_url, select, text

from teamaccess.delivery.relay import OUTAGES
from teamaccess.engine import Engine, ObservedWrite
from teamaccess.storage import Finding, FindingKind, WatchedWrite
from teamaccess.storage.advisory_locks import APPLICATION, DeploymentLock
from teamaccess.upkeep.worker.watcher import Watcher
from tests.support.deployment import Deployment
from tests.support.isolated_deployments import IsolatedDeployments


async def writes_since(deployment: Deployment, zed_token: str) -> list[ObservedWrite]:
    """The writes after a ZedToken, up to the checkpoint that follows them."""
    writes: list[ObservedWrite] = []
    async with asyncio.timeout(30):
        async for observed in deployment.service.engine.watch(zed_token):
            if observed.is_checkpoint and writes:
                break
            if not observed.is_checkpoint:
                writes.append(observed)
    return writes


END_HOLDER_OF_THE_LOCK = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = {APPLICATION} AND objid = {DeploymentLock.WATCH:d}
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def watch_once(deployment: Deployment) -> None:
    """Follow one stream, as the worker that holds the lock."""
    watcher = Watcher(deployment.service)
    async with watcher._lock() as session:
        assert session is not None
        await watcher._watch(session)


async def foreign_writes(deployment: Deployment) -> list[dict[str, Any]]:
    """The details of every finding about a foreign write."""
    async with deployment.service.reads() as session:
        foreign = select(Finding.details).where(Finding.kind == FindingKind.FOREIGN_WRITE)
        return list(await session.scalars(foreign))


async def test_a_write_that_a_new_stream_repeats_is_not_foreign(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SpiceDB stops before the checkpoint, so the new stream begins at a concurrent write."""
    acme = await isolated.create_organization("acme")
    invited = await acme.invite("bob", ["support"])
    people = await acme.add_members({"eve": ["support"]})
    changed = await acme.change_roles(people["eve"], "product")
    writes = await writes_since(isolated, invited.headers["Zed-Token"])
    assert changed.headers["Zed-Token"] in {write.zed_token for write in writes}

    async def stream(_: Engine, __: str | None) -> AsyncIterator[ObservedWrite]:
        for write in writes:
            yield write

    monkeypatch.setattr(Engine, "watch", stream)
    for _ in range(2):  # another process continues
        await watch_once(isolated)
    assert await foreign_writes(isolated) == []
    async with isolated.service.reads() as session:
        checked = set(await session.scalars(select(WatchedWrite.zed_token)))
        assert checked == {write.zed_token for write in writes}


async def test_a_write_that_is_repeated_after_a_checkpoint_is_not_foreign(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow write did not see a quick one, so SpiceDB reports the quick one before and after it."""
    slow, quick = [await isolated.create_organization(each) for each in ("slow", "quick")]
    people = await slow.add_members({"bob": ["support"]})
    before = await slow.invite("ann", ["support"])
    invited = await quick.invite("eve", ["support"])
    changed = await slow.change_roles(people["bob"], "product")
    [quick_one, slow_one] = [
        write
        for write in await writes_since(isolated, before.headers["Zed-Token"])
        if write.zed_token in {invited.headers["Zed-Token"], changed.headers["Zed-Token"]}
    ]

    async def stream(_: Engine, __: str | None) -> AsyncIterator[ObservedWrite]:
        for write in (quick_one, slow_one, quick_one):
            yield write
            yield ObservedWrite((), (), {}, write.zed_token)  # a checkpoint

    monkeypatch.setattr(Engine, "watch", stream)
    await watch_once(isolated)
    assert await foreign_writes(isolated) == []
    async with isolated.service.reads() as session:
        cursor = await session.scalar(text("SELECT zed_token FROM watch_cursor"))
        assert cursor == slow_one.zed_token


async def test_a_watcher_without_its_lock_judges_nothing(
    isolated: Deployment,
    isolated_deployments: IsolatedDeployments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection dies while it waits for SpiceDB, and another worker judges the writes."""
    acme = await isolated.create_organization("acme")
    invited = await acme.invite("bob", ["support"])
    await acme.add_members({"eve": ["support"]})
    writes = await writes_since(isolated, invited.headers["Zed-Token"])
    database = make_url(isolated.owner_url).database or ""
    successor_is_done = False

    async def stream(_: Engine, __: str | None) -> AsyncIterator[ObservedWrite]:
        nonlocal successor_is_done
        if not successor_is_done:
            successor_is_done = True
            psql = isolated_deployments.stack.postgres.psql
            await asyncio.to_thread(psql, END_HOLDER_OF_THE_LOCK, database=database)
            await watch_once(isolated)
        for write in writes:
            yield write

    monkeypatch.setattr(Engine, "watch", stream)
    with pytest.raises(OUTAGES):
        await watch_once(isolated)
    assert await foreign_writes(isolated) == []
