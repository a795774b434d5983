"""Workers compare one organization after the other, all the time."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import func, select, text

from teamaccess.engine import EngineUnavailable, ObjectFilter, StoredRelationship
from teamaccess.storage import Finding, FindingKind, Reconciliation
from teamaccess.storage.advisory_locks import Purpose
from teamaccess.upkeep.worker import reconciler
from teamaccess.upkeep.worker.reconciler import PAUSE_SECONDS, Reconciler
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import (
    another_process,
    before_first_call,
    behind_proxy,
    running_worker,
    wait_until,
)
from tests.upkeep.reconciliation.drift import add_to_spicedb, create_inspector, request_comparison

OVERLORD = "organization:{}#overlord@user:eve"
FORGED = text(
    "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)"
    " VALUES (:id, ARRAY[:update], 'user:eve', 'api', 'forged', 'none')"
)


async def test_workers_find_drift_and_record_when_they_compared(isolated: Deployment) -> None:
    organizations = [await isolated.create_organization(f"team{number}") for number in range(4)]
    drifted = organizations[2]
    await add_to_spicedb(isolated, f"organization:{drifted.id}#support@user:stranger")
    async with (
        another_process(isolated) as second,
        running_worker(isolated),
        running_worker(second),
    ):
        await wait_until(lambda: _all_compared(isolated, organizations))
    async with isolated.service.reads() as session:
        differences = dict(
            (
                await session.execute(
                    select(Reconciliation.organization_id, Reconciliation.differences)
                )
            ).all()
        )
        drift = select(Finding.organization_id).where(Finding.kind == FindingKind.DRIFT)
        about = list(await session.scalars(drift))
    assert differences == {
        organization.id: int(organization is drifted) for organization in organizations
    }
    assert about == [drifted.id]


async def test_a_worker_continues_after_an_outage(isolated: Deployment) -> None:
    organizations = [
        await isolated.create_organization("acme"),
        await isolated.create_organization("globex"),
    ]
    async with behind_proxy(isolated) as (second, proxy):
        proxy.answers = False
        async with running_worker(second):
            await wait_until(lambda: _asked(proxy.seen))
            assert await _compared_count(isolated) == 0
            proxy.answers = True
            await wait_until(lambda: _all_compared(isolated, organizations))


async def test_an_organization_that_cannot_be_compared_does_not_delay_others(
    isolated: Deployment,
) -> None:
    organizations = [
        await isolated.create_organization("acme"),
        await isolated.create_organization("globex"),
    ]
    stopped = await isolated.create_organization("aaa")
    async with isolated.service.sessions() as session:
        update = f"TOUCH {OVERLORD.format(stopped.id)}"
        await session.execute(FORGED, {"id": stopped.id, "update": update})
        await session.commit()
    assert (await stopped.invite("eve", ["product"])).status_code == 503
    async with running_worker(isolated):
        await wait_until(lambda: _all_compared(isolated, organizations))
    assert await _compared_count(isolated) == len(organizations)


@pytest.mark.parametrize("how", ["fails", "never ends"])
async def test_an_organization_whose_comparison_alone_fails_does_not_keep_others_waiting(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """SpiceDB answers about all other organizations, so this is not an outage of the deployment."""
    hopeless = await isolated.create_organization("aaa")
    organizations = [
        await isolated.create_organization("acme"),
        await isolated.create_organization("globex"),
    ]
    await request_comparison(hopeless)  # so it comes first in each round
    monkeypatch.setattr(reconciler, "COMPARISON_SECONDS", 0.5)
    export = isolated.service.engine.export

    async def exporting(objects: ObjectFilter) -> AsyncGenerator[list[StoredRelationship]]:
        if hopeless.id in (objects.id, (objects.prefix or "").rstrip("/")):
            if how == "fails":
                raise EngineUnavailable(cause="it stopped sending what it holds")
            await asyncio.Event().wait()
        async for page in export(objects):
            yield page

    monkeypatch.setattr(isolated.service.engine, "export", exporting)

    async def compared() -> bool:
        async with isolated.service.reads() as session:
            done = await session.scalars(
                select(Reconciliation.organization_id).where(Reconciliation.asked_at.is_(None))
            )
            return set(done) == {organization.id for organization in organizations}

    async with running_worker(isolated):
        await wait_until(compared, seconds=20)


async def test_a_request_during_a_comparison_is_not_answered_by_it(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = create_inspector(acme.deployment)
    await request_comparison(acme)
    assert await _is_comparison_requested(acme)
    await inspector.reconcile_organization(acme.id)
    assert not await _is_comparison_requested(acme)
    with monkeypatch.context() as patch:
        before_first_call(patch, acme.deployment, "answers", lambda: request_comparison(acme))
        await inspector.reconcile_organization(acme.id)
    assert await _is_comparison_requested(acme)


async def test_a_worker_waits_for_an_organization_that_another_worker_compares(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await isolated.create_organization("acme")
    worker, pauses = Reconciler(isolated.service), asyncio.Queue[float]()
    sleep = asyncio.sleep

    async def pausing(seconds: float) -> None:
        if asyncio.current_task() is comparing:
            pauses.put_nowait(seconds)
        await sleep(seconds)

    async with isolated.service.sessions() as session:
        await session.execute(isolated.service.locks.try_lock(Purpose.COMPARISON, acme.id))
        monkeypatch.setattr(asyncio, "sleep", pausing)
        comparing = asyncio.create_task(worker.run())
        try:
            assert [await pauses.get() for _ in range(3)] == [PAUSE_SECONDS] * 3
        finally:
            comparing.cancel()
            await asyncio.wait({comparing})


async def _is_comparison_requested(organization: Organization) -> bool:
    async with organization.deployment.service.reads() as session:
        mine = Reconciliation.organization_id == organization.id
        return await session.scalar(select(Reconciliation.asked_at).where(mine)) is not None


async def _asked(seen: list[str]) -> bool:
    return any(method.endswith("CheckBulkPermissions") for method in seen)


async def _all_compared(deployment: Deployment, organizations: list[Organization]) -> bool:
    return await _compared_count(deployment) == len(organizations)


async def _compared_count(deployment: Deployment) -> int:
    async with deployment.service.reads() as session:
        count: int = (await session.scalars(select(func.count()).select_from(Reconciliation))).one()
        return count
