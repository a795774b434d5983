"""A new stream of the watch reports some writes again. They are judged once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, text

from teamaccess.engine import Engine, ObservedWrite
from teamaccess.storage import Finding, FindingKind, WatchedWrite
from teamaccess.upkeep.worker.watcher import Watcher
from tests.support.deployment import Deployment


async def writes_since(deployment: Deployment, zed_token: str) -> list[ObservedWrite]:
    """The writes after a ZedToken, up to the first checkpoint behind them."""
    writes: list[ObservedWrite] = []
    async with asyncio.timeout(30):
        async for observed in deployment.service.engine.watch(zed_token):
            if observed.is_checkpoint and writes:
                break
            if not observed.is_checkpoint:
                writes.append(observed)
    return writes


async def test_a_write_that_a_new_stream_repeats_is_not_foreign(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SpiceDB died before the checkpoint, and a write that ran at the same time became the cursor."""
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
        await Watcher(isolated.service)._watch()
    async with isolated.service.reads() as session:
        foreign = select(Finding.details).where(Finding.kind == FindingKind.FOREIGN_WRITE)
        assert list(await session.scalars(foreign)) == []
        checked = set(await session.scalars(select(WatchedWrite.zed_token)))
        assert checked == {write.zed_token for write in writes}

    async def checkpoint(_: Engine, __: str | None) -> AsyncIterator[ObservedWrite]:
        yield ObservedWrite((), (), {}, writes[-1].zed_token)

    monkeypatch.setattr(Engine, "watch", checkpoint)
    await Watcher(isolated.service)._watch()
    async with isolated.service.reads() as session:
        assert list(await session.scalars(select(WatchedWrite.zed_token))) == []
        cursor = await session.scalar(text("SELECT zed_token FROM watch_cursor"))
        assert cursor == writes[-1].zed_token
