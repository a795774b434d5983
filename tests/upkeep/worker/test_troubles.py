"""Expiries while parts are down, stopped or busy, in large numbers, and under several workers."""

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
from tests.support.agreement import assert_agreement, ledger_entries, spicedb_relationships
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import (
    another_process,
    behind_proxy,
    beside,
    running_worker,
    wait_until,
)
from tests.upkeep.worker.expiring_members import add_expiring_members

SOON = timedelta(seconds=1)
AGO = timedelta(seconds=-1)
FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')
"""


async def temporary(organization: Organization, more: timedelta) -> Person:
    """A member whose role expires after the given time."""
    people = await organization.add_members({"temporary": ["support"]})
    await organization.set_role_expiry(
        people["temporary"],
        "support",
        await organization.deployment.service.now() + more,
    )
    return people["temporary"]


async def has_ended(organization: Organization, target: Person) -> bool:
    """Whether the role is gone from the rows and from SpiceDB."""
    left = {
        str(each.subject)
        for each in await spicedb_relationships(organization)
        if each.relation == "support"
    }
    return (await organization.roles_by_member())[
        target.id
    ] == [] and f"user:{target.id}" not in left


async def kinds(organization: Organization) -> list[str]:
    """The kinds of the newest events."""
    return [each.kind for each in await organization.events()]


async def test_expiries_during_a_downtime_are_swept_at_the_next_start(
    acme: Organization,
) -> None:
    bob = await temporary(acme, AGO)
    eve = (await acme.add_members({"eve": ["support"]}))["eve"]
    await acme.set_membership_expiry(eve, await acme.deployment.service.now() - timedelta(days=3))
    async with another_process(acme.deployment) as deployment, running_worker(deployment):
        await wait_until(lambda: has_ended(acme, bob))
        await wait_until(lambda: gone(acme, eve))
    await assert_agreement(acme)


@pytest.mark.parametrize("step", [timedelta(days=1), timedelta(days=-1)])
async def test_a_sweeper_with_a_wrong_clock_follows_the_clock_of_postgresql(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    bob = await temporary(acme, timedelta(seconds=2))
    eve = await temporary(globex, timedelta(hours=20))
    with monkeypatch.context() as patch:
        step_clock(patch, step)
        async with running_worker(acme.deployment):
            await wait_until(lambda: has_ended(acme, bob))
            await asyncio.sleep(0.5)  # nothing may happen, and no event announces that
    [entry] = (await ledger_entries(acme))[-1:]
    [update] = entry.updates
    end = parse_update(update).relationship.expiration
    assert end is not None
    assert entry.decided_at >= end
    assert (await globex.roles_by_member())[eve.id] == ["support"]
    await assert_agreement(acme)


async def test_concurrent_sweepers_end_everything_once(
    acme: Organization, fintoc: Deployment
) -> None:
    organizations = [acme, *[await fintoc.create_organization("branch") for _ in range(5)]]
    for organization in organizations:
        await add_expiring_members(organization, 30, AGO)
    before = {organization.id: len(await organization.ledger()) for organization in organizations}
    async with (
        another_process(fintoc) as one,
        another_process(fintoc) as other,
        running_worker(one),
        running_worker(other),
        running_worker(fintoc),
    ):
        await asyncio.gather(
            *(wait_until(partial(swept_out, organization)) for organization in organizations)
        )
    for organization in organizations:
        assert len(await organization.ledger()) == before[organization.id] + 1
        assert (await kinds(organization)).count("role_ended") == 30
        assert len(await assert_agreement(organization)) == 2 + 30 * 2


async def test_an_expiry_during_an_outage_of_spicedb_is_swept_afterwards(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await temporary(acme, SOON)
    async with behind_proxy(fintoc) as (second, proxy), running_worker(second):
        await proxy.stop()
        tried = len(proxy.seen)
        await asyncio.sleep(2.5)  # the end, and some attempts
        assert len(proxy.seen) == tried
        assert (await acme.roles_by_member())[bob.id] == ["support"]
        await proxy.start()
        await wait_until(lambda: has_ended(acme, bob))
    await assert_agreement(acme)


async def test_the_sweeper_survives_an_outage_of_postgresql(
    acme: Organization, superuser_connection: Connection
) -> None:
    bob = await temporary(acme, SOON)
    async with sweeper_of_its_own(acme.deployment, "sweeps_alone"):
        await superuser_connection.execute("ALTER ROLE teamaccess NOLOGIN")
        try:
            await superuser_connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'sweeps_alone'"
            )
            await asyncio.sleep(2)
        finally:
            await superuser_connection.execute("ALTER ROLE teamaccess LOGIN")
        await wait_until(lambda: has_ended(acme, bob))
    await assert_agreement(acme)


async def test_expiries_take_effect_in_a_stopped_organization(
    acme: Organization, application_connection: Connection
) -> None:
    bob = await temporary(acme, SOON)
    await application_connection.execute(
        FORGED, acme.id, f"TOUCH organization:{acme.id}#overlord@user:eve"
    )
    await acme.wait_until_stopped()
    async with running_worker(acme.deployment):
        await wait_until(lambda: has_ended(acme, bob))
    assert (await kinds(acme))[-1] == "role_ended"


async def test_a_busy_organization_does_not_delay_the_others(
    acme: Organization, globex: Organization, application_connection: Connection
) -> None:
    bob, eve = await temporary(acme, AGO), await temporary(globex, AGO)
    busy = application_connection.transaction()
    await busy.start()
    await application_connection.execute("SELECT ledger_lock($1)", [acme.id])
    async with another_process(acme.deployment) as second, running_worker(second):
        await wait_until(lambda: has_ended(globex, eve))
        await asyncio.sleep(2.5)  # longer than any request waits for a lock
        assert (await acme.roles_by_member())[bob.id] == ["support"]
        await busy.rollback()
        await wait_until(lambda: has_ended(acme, bob))
    await assert_agreement(acme)


async def test_an_organization_with_another_history_does_not_delay_the_others(
    acme: Organization, globex: Organization, superuser_connection: Connection
) -> None:
    bob, eve = await temporary(acme, SOON), await temporary(globex, SOON)
    head = "UPDATE ledger_heads SET hash = {} WHERE organization_id = $1"
    newest_hash = (
        "(SELECT hash FROM ledger AS l WHERE l.organization_id = $1 ORDER BY position DESC LIMIT 1)"
    )
    async with running_worker(acme.deployment):
        await superuser_connection.execute(head.format("sha256(hash)"), acme.id)
        try:
            await wait_until(lambda: has_ended(globex, eve))
            assert (await acme.roles_by_member())[bob.id] == ["support"]
        finally:
            # other tests verify the chains of the whole database
            await superuser_connection.execute(head.format(newest_hash), acme.id)
        await wait_until(lambda: has_ended(acme, bob))
    await assert_agreement(globex)
    await assert_agreement(acme)


async def test_many_expiries_are_swept_in_batches_with_other_changes_in_between(
    acme: Organization,
) -> None:
    await add_expiring_members(acme, 3 * BATCH, AGO)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        renamed = await acme.administrator.ask("PATCH", acme.path, json={"name": "Between"})
        assert renamed.status_code == 200
        await wait_until(lambda: swept_out(acme))
    decided = (await ledger_entries(acme))[before:]
    assert [len(entry.updates) for entry in decided] == [BATCH] * 3
    assert len({entry.request_id for entry in decided}) == 3
    updates = [parse_update(each) for entry in decided for each in entry.updates]
    assert all(isinstance(each, Delete) for each in updates)
    assert len(await assert_agreement(acme)) == 2 + 3 * BATCH * 2


async def test_a_cancelled_sweeper_leaves_nothing_half_done(acme: Organization) -> None:
    await add_expiring_members(acme, 2 * BATCH, AGO)
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3):
        async with running_worker(acme.deployment):
            await asyncio.sleep(delay)
    async with running_worker(acme.deployment):
        await wait_until(lambda: swept_out(acme))
    assert (await kinds(acme)).count("role_ended") == 2 * BATCH
    await assert_agreement(acme)


async def gone(organization: Organization, target: Person) -> bool:
    """Whether a user is not a member any more."""
    return target.id not in await organization.roles_by_member()


async def swept_out(organization: Organization) -> bool:
    """Whether no support is left, in the rows and in SpiceDB."""
    return not any(
        "support" in roles for roles in (await organization.roles_by_member()).values()
    ) and not any(each.relation == "support" for each in await spicedb_relationships(organization))


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
async def sweeper_of_its_own(deployment: Deployment, name: str) -> AsyncIterator[None]:
    """A sweeper whose connections to PostgreSQL have a recognizable name."""
    settings, catalog = deployment.settings, deployment.service.catalog
    async with AsyncExitStack() as stack:
        pool, reads, status_pool = (
            create_pool(settings.sqlalchemy_url, application_name=name) for _ in range(3)
        )
        for each in (pool, reads, status_pool):
            stack.push_async_callback(each.dispose)
        alone = {"isolation_level": "AUTOCOMMIT"}
        applier = Applier(deployment.service.engine, status_pool.execution_options(**alone))
        stack.push_async_callback(applier.close)
        service = deployment.service
        ledger = Ledger(
            session_maker(pool, catalog), applier, service.engine, catalog, service.locks
        )
        questions = async_sessionmaker(reads.execution_options(**alone))
        async with beside(Sweeper(ledger, questions).run()):
            await asyncio.sleep(0.5)  # so that it has connections to lose
            yield
