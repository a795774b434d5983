"""The queue of the workers: which position goes to which worker, and in which order."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.delivery.applications import select_pending
from teamaccess.delivery.queue import claim_due
from teamaccess.storage import OrganizationId
from tests.support.deployment import Deployment

LEASE = timedelta(seconds=30)
SET_STATUS = text("""
UPDATE ledger_applications SET status = :status, due_at = clock_timestamp() + :due
WHERE organization_id = :organization AND position IN :positions
""").bindparams(bindparam("positions", expanding=True))


@pytest.fixture
async def connection(fintoc: Deployment) -> AsyncIterator[AsyncConnection]:
    """A connection whose transaction is rolled back."""
    async with fintoc.service.ledger.sessions.kw["bind"].connect() as connection:
        yield connection
        await connection.rollback()


async def _make_due(
    connection: AsyncConnection, organization: str, *positions: int, **more: object
) -> None:
    """Make positions of an organization due for the workers, by default since a second ago."""
    about = {"status": "pending", "due": timedelta(seconds=-1), "positions": positions}
    await connection.execute(SET_STATUS, {"organization": organization, **about, **more})


async def _claim(
    connection: AsyncConnection, mine: list[OrganizationId], most: int, after: str = ""
) -> list[OrganizationId]:
    claimed = await claim_due(connection, most, LEASE, after)
    return [organization for organization, _ in claimed if organization in mine]


async def _organizations(deployment: Deployment, count: int) -> list[OrganizationId]:
    """Organizations with two positions each, in the order of their ids."""
    organizations = [await deployment.create_organization("queue") for _ in range(count)]
    for organization in organizations:
        await organization.add_members({"bob": []})
    return sorted(organization.id for organization in organizations)


async def test_each_organization_is_served_once_in_the_order_of_ids(
    fintoc: Deployment, connection: AsyncConnection
) -> None:
    mine = await _organizations(fintoc, 5)
    for organization in mine:
        await _make_due(connection, organization, 1, 2)
    first = await _claim(connection, mine, 2, after=mine[0][:-1])
    assert first == mine[:2]
    assert await _claim(connection, mine, 100, after=mine[2]) == mine[3:]
    assert await _claim(connection, mine, 100) == [mine[2]]
    assert await _claim(connection, mine, 100) == []


async def test_a_refused_entry_holds_back_later_positions(
    fintoc: Deployment, connection: AsyncConnection
) -> None:
    mine = await _organizations(fintoc, 2)
    await _make_due(connection, mine[0], 1, status="refused")
    await _make_due(connection, mine[0], 2)
    await _make_due(connection, mine[1], 1, status="skipped")
    await _make_due(connection, mine[1], 2)
    assert await _claim(connection, mine, 100) == [mine[1]]


async def test_a_position_that_is_not_due_holds_back_later_positions(
    fintoc: Deployment, connection: AsyncConnection
) -> None:
    mine = await _organizations(fintoc, 2)
    await _make_due(connection, mine[0], 1, due=timedelta(seconds=60))
    await _make_due(connection, mine[0], 2)
    await _make_due(connection, mine[1], 2)
    assert await _claim(connection, mine, 100) == [mine[1]]


async def test_a_position_that_another_worker_delivers_is_left_to_it(
    fintoc: Deployment, connection: AsyncConnection
) -> None:
    mine = await _organizations(fintoc, 2)
    engine = fintoc.service.ledger.sessions.kw["bind"]
    lock = text("SELECT FROM ledger_applications WHERE organization_id = :organization FOR UPDATE")
    async with engine.connect() as other:
        await other.execute(lock, {"organization": mine[0]})
        await _make_due(connection, mine[1], 2)
        assert await _claim(connection, mine, 100) == [mine[1]]
        await other.rollback()


async def test_the_query_for_pending_positions_has_no_subquery_per_row(
    connection: AsyncConnection,
) -> None:
    asked = select_pending(OrganizationId("acme")).compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    plan = await connection.execute(text(f"EXPLAIN {asked}"))
    assert "SubPlan" not in "\n".join(plan.scalars())
