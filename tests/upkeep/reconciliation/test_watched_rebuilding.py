"""A worker watches during a rebuild. It reports foreign writes, and not the rebuild's own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import select

from teamaccess.delivery.provenance.runs import unsettled_runs
from teamaccess.storage import Finding, FindingKind, WatchCursor
from teamaccess.upkeep import Rebuilder
from teamaccess.upkeep.worker import reconciler
from tests.support.agreement import assert_agreement, spicedb_contents
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import before, running_worker, wait_until
from tests.upkeep.reconciliation.drift import (
    add_to_spicedb,
    delete_from_spicedb,
    request_comparison,
)


@pytest.fixture
async def acme(isolated: Deployment) -> Organization:
    """An organization with some members."""
    organization = await isolated.create_organization("acme")
    await organization.add_members({f"p{number}": ["support"] for number in range(8)})
    return organization


@pytest.fixture
async def globex(isolated: Deployment) -> Organization:
    """An organization that is not rebuilt. Foreign writes to it show how far the worker has read."""
    return await isolated.create_organization("globex")


@pytest.fixture
async def worker(
    isolated: Deployment, acme: Organization, globex: Organization
) -> AsyncIterator[None]:
    """A worker that watches."""
    async with running_worker(isolated):
        await wait_until(lambda: _is_watching(isolated))
        yield


async def _is_watching(deployment: Deployment) -> bool:
    async with deployment.service.reads() as session:
        return bool(await session.scalar(select(WatchCursor.zed_token)))


async def require_rebuild(organization: Organization) -> None:
    """Delete the head in SpiceDB, so that the organization needs a rebuild."""
    heads = [str(each) for each in await spicedb_contents(organization) if each.relation == "head"]
    await delete_from_spicedb(organization.deployment, *heads)


async def rebuild(organization: Organization) -> None:
    """Rebuild the organization."""
    service = organization.deployment.service
    rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, OPERATOR)
    done = await rebuilder.rebuild([organization.id], lambda seen: None)
    assert done.organizations == [organization.id]


async def findings_about(
    organization: Organization, kind: FindingKind = FindingKind.FOREIGN_WRITE
) -> list[dict[str, Any]]:
    """The details of the findings about the organization, the oldest first."""
    async with organization.deployment.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.organization_id == organization.id, Finding.kind == kind)
            .order_by(Finding.id)
        )
        return list(rows)


async def foreign_relationships(organization: Organization) -> list[str]:
    """The relationships that were reported as foreign, without heads.

    `require_rebuild` deletes heads, so heads are reported in any case.
    """
    reported = [
        text for details in await findings_about(organization) for text in details["updates"]
    ]
    return [text for text in reported if "#head@" not in text]


async def wait_until_read(other: Organization) -> None:
    """Wait until the worker has read all that was written before this."""
    written = f"organization:{other.id}#product@user:after-{len(await findings_about(other))}"
    await add_to_spicedb(other.deployment, written)
    await wait_until(lambda: _is_reported(other, written))


async def _is_reported(organization: Organization, text: str) -> bool:
    return f"TOUCH {text}" in await foreign_relationships(organization)


async def has_unsettled_run(organization: Organization) -> bool:
    """Whether a rebuild may have written something that the watcher has not seen."""
    async with organization.deployment.service.reads() as session:
        return bool(await unsettled_runs(session, [organization.id]))


async def is_settled(organization: Organization) -> bool:
    """Whether the watcher has seen the end of the rebuild."""
    return not await has_unsettled_run(organization)


async def _lose_connection() -> None:
    raise ConnectionError("pulled the plug")


@pytest.mark.usefixtures("worker")
async def test_the_import_of_a_rebuild_is_not_a_finding(
    acme: Organization, globex: Organization
) -> None:
    await require_rebuild(acme)
    await rebuild(acme)
    await wait_until_read(globex)
    assert await foreign_relationships(acme) == []
    assert await is_settled(acme)
    await assert_agreement(acme)
    forged = f"organization:{acme.id}#administrator@user:eve"
    await add_to_spicedb(acme.deployment, forged)
    await wait_until(lambda: _is_reported(acme, forged))


@pytest.mark.usefixtures("worker")
async def test_a_foreign_write_during_a_rebuild_is_found(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged, other = [
        f"organization:{organization.id}#administrator@user:eve" for organization in (acme, globex)
    ]

    async def eve() -> None:
        await add_to_spicedb(acme.deployment, forged)
        await add_to_spicedb(globex.deployment, other)

    # it cannot be compared before it is rebuilt, and then it is not compared again unless requested
    monkeypatch.setattr(reconciler, "POSTPONED_SECONDS", 3600)
    await require_rebuild(acme)
    await request_comparison(acme)
    await wait_until(lambda: _has_finding(acme, FindingKind.OTHER_HISTORY))
    with monkeypatch.context() as patch:
        before(patch, acme.deployment, "import_relationships", eve)
        await rebuild(acme)
    await wait_until(lambda: _is_reported(globex, other))
    await wait_until(lambda: _has_finding(acme, FindingKind.DRIFT))
    [drift] = await findings_about(acme, FindingKind.DRIFT)
    assert (drift["extra"], drift["counts"]) == ([forged], {"extra": 1})
    await wait_until(lambda: is_settled(acme))


async def _has_finding(organization: Organization, kind: FindingKind) -> bool:
    return bool(await findings_about(organization, kind))


async def test_a_worker_that_lags_behind_distinguishes_two_rebuilds(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_worker(acme.deployment):
        await wait_until(lambda: _is_watching(acme.deployment))
        await wait_until_read(globex)
    await require_rebuild(acme)
    await rebuild(acme)
    await require_rebuild(acme)
    with monkeypatch.context() as plug:
        before(plug, acme.deployment, "write", _lose_connection)
        with pytest.raises(ConnectionError):
            await rebuild(acme)
    async with running_worker(acme.deployment):
        await wait_until_read(globex)
        assert await foreign_relationships(acme) == []
        assert await has_unsettled_run(acme)
        await rebuild(acme)
        await wait_until_read(globex)
        assert await is_settled(acme)
    assert await foreign_relationships(acme) == []
    await assert_agreement(acme)


async def test_a_worker_that_starts_at_the_present_does_not_wait_for_the_end_of_an_earlier_rebuild(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    await require_rebuild(acme)
    await rebuild(acme)
    assert await has_unsettled_run(acme)
    await require_rebuild(globex)
    async with AsyncExitStack() as workers:

        async def begins() -> None:
            await workers.enter_async_context(running_worker(acme.deployment))
            await wait_until(lambda: _is_watching(acme.deployment))

        before(monkeypatch, acme.deployment, "import_relationships", begins)
        await rebuild(globex)
        assert await is_settled(acme)
        await wait_until_read(acme)
        assert await is_settled(globex)
        assert await foreign_relationships(globex) == []
