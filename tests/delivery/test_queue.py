"""What is left to the workers: who gets what, and in which order."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.delivery.applications import select_pending
from teamaccess.delivery.queue import claim_due
from teamaccess.storage import OrganizationId
from tests.support.steps import enlist
from tests.support.world import World

LEASE = timedelta(seconds=30)
OPEN = text("""
UPDATE ledger_applications SET status = :status, due_at = clock_timestamp() + :due
WHERE organization_id = :organization AND position IN :positions
""").bindparams(bindparam("positions", expanding=True))


@pytest.fixture
async def connection(fintoc: World) -> AsyncIterator[AsyncConnection]:
    """A transaction of which nothing is kept."""
    async with fintoc.service.ledger.sessions.kw["bind"].connect() as connection:
        yield connection
        await connection.rollback()


async def _left(
    connection: AsyncConnection, organization: str, *positions: int, **more: object
) -> None:
    """Leave positions of an organization to the workers, due since a second ago unless told otherwise."""
    about = {"status": "pending", "due": timedelta(seconds=-1), "positions": positions}
    await connection.execute(OPEN, {"organization": organization, **about, **more})


async def _taken(
    connection: AsyncConnection, mine: list[OrganizationId], most: int, after: str = ""
) -> list[OrganizationId]:
    taken = await claim_due(connection, most, LEASE, after)
    return [organization for organization, _ in taken if organization in mine]


async def _teams(world: World, count: int) -> list[OrganizationId]:
    """Organizations with two positions each, in the order of their ids."""
    teams = [await world.create("queue") for _ in range(count)]
    for team in teams:
        await enlist(team, {"bob": []})
    return sorted(team.id for team in teams)


async def test_each_has_its_turn_in_the_order_of_ids_and_once(
    fintoc: World, connection: AsyncConnection
) -> None:
    mine = await _teams(fintoc, 5)
    for organization in mine:
        await _left(connection, organization, 1, 2)
    first = await _taken(connection, mine, 2, after=mine[0][:-1])
    assert first == mine[:2]
    assert await _taken(connection, mine, 100, after=mine[2]) == mine[3:]
    assert await _taken(connection, mine, 100) == [mine[2]]
    assert await _taken(connection, mine, 100) == []


async def test_a_refused_entry_keeps_back_those_behind_it(
    fintoc: World, connection: AsyncConnection
) -> None:
    mine = await _teams(fintoc, 2)
    await _left(connection, mine[0], 1, status="refused")
    await _left(connection, mine[0], 2)
    await _left(connection, mine[1], 1, status="skipped")
    await _left(connection, mine[1], 2)
    assert await _taken(connection, mine, 100) == [mine[1]]


async def test_what_rests_is_passed_over_and_what_is_behind_it_too(
    fintoc: World, connection: AsyncConnection
) -> None:
    mine = await _teams(fintoc, 2)
    await _left(connection, mine[0], 1, due=timedelta(seconds=60))
    await _left(connection, mine[0], 2)
    await _left(connection, mine[1], 2)
    assert await _taken(connection, mine, 100) == [mine[1]]


async def test_what_another_worker_is_taking_is_left_to_it(
    fintoc: World, connection: AsyncConnection
) -> None:
    mine = await _teams(fintoc, 2)
    engine = fintoc.service.ledger.sessions.kw["bind"]
    lock = text("SELECT FROM ledger_applications WHERE organization_id = :organization FOR UPDATE")
    async with engine.connect() as other:
        await other.execute(lock, {"organization": mine[0]})
        await _left(connection, mine[1], 2)
        assert await _taken(connection, mine, 100) == [mine[1]]
        await other.rollback()


async def test_what_is_done_is_looked_for_once_however_much_waits(
    connection: AsyncConnection,
) -> None:
    asked = select_pending(OrganizationId("acme")).compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    plan = await connection.execute(text(f"EXPLAIN {asked}"))
    assert "SubPlan" not in "\n".join(plan.scalars())
