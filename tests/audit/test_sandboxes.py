"""The sandboxes of one process."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from teamaccess.audit.state import sandboxes
from teamaccess.audit.state.facts import Facts
from teamaccess.audit.state.sandboxes import SandboxPool, SandboxState
from teamaccess.catalog import load_catalog
from teamaccess.engine import Consistency, Engine
from teamaccess.engine.sandbox import open_sandbox
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.relationships import Relationship
from teamaccess.storage import OrganizationId


async def test_filling_one_tenants_sandbox_keeps_no_other_tenant_waiting(
    sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, now = load_catalog("fintoc").schema(), datetime.now(UTC)
    begun, is_filled = asyncio.Event(), asyncio.Event()

    async def open_slowly(
        endpoint: str, schema: str, relationships: Sequence[Relationship]
    ) -> Engine:
        if not begun.is_set():
            begun.set()
            await is_filled.wait()
        return await open_sandbox(endpoint, schema, relationships)

    async def question(engine: Engine, at: Consistency) -> str:
        return "answered"

    monkeypatch.setattr(sandboxes, "open_sandbox", open_slowly)
    pool = SandboxPool(sandbox.endpoint)
    large, small = (
        SandboxState.of(OrganizationId(id), f"{schema}// {id}", Facts({}, {}), now)
        for id in ("large", "small")
    )
    first = asyncio.create_task(pool.ask(large, question))
    await begun.wait()
    async with asyncio.timeout(10):
        assert await pool.ask(small, question) == "answered"
    assert not first.done()
    is_filled.set()
    assert await first == "answered"
    await pool.close()
