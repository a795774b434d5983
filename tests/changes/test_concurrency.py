"""Concurrent changes: they run one after another in each organization."""

import asyncio
from collections.abc import Awaitable

import pytest
from sqlalchemy import text

from teamaccess.changes import change_queue
from teamaccess.changes.events import record_alone
from teamaccess.changes.events.organizations import OrganizationCreated
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.storage import RoleAssignment, RoleId, UserId
from tests.support.agreement import (
    applied_positions,
    assert_agreement,
    ledger_entries,
    operator_session,
)
from tests.support.chain_hashes import broken_events
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import another_process, served_by, wait_until

MANY_REQUESTS = 60
"""More requests than the process has connections for writing."""
ROLES = ["developer", "finance_and_accounting", "operations", "product", "support"]


async def _give(organization: Organization, user: UserId, role: str) -> None:
    async with operator_session(organization) as session:
        session.add(
            RoleAssignment(organization_id=organization.id, user_id=user, role=RoleId(role))
        )


async def _together(*stories: Awaitable[None]) -> None:
    await asyncio.gather(*stories)


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_second_change_of_an_organization_waits_for_the_first(
    acme: Organization, fintoc_elsewhere: Deployment, processes: int
) -> None:
    [bob] = await acme.add_users(bob=[])
    elsewhere = fintoc_elsewhere if processes == 2 else acme.deployment
    order: list[str] = []

    async def first(locked: asyncio.Event) -> None:
        async with operator_session(acme) as session:
            locked.set()
            session.add(
                RoleAssignment(organization_id=acme.id, user_id=bob, role=RoleId("support"))
            )
            await session.flush()
            if processes == 2:
                await _wait_for_lock_waiter(acme)
            order.append("first")

    async def second(locked: asyncio.Event) -> None:
        await locked.wait()
        async with elsewhere.service.ledger.change(OPERATOR, acme.id) as change:
            order.append("second")
            [ledger_position] = change.ledger_positions
            assert ledger_position.position == len(await acme.ledger())
            assert await change.permitted(acme.id, bob, ["refunds_create"])

    locked = asyncio.Event()
    await _together(first(locked), second(locked))
    assert order == ["first", "second"]
    await assert_agreement(acme)


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_change_that_waits_too_long_is_refused_because_the_organization_is_busy(
    acme: Organization,
    fintoc_elsewhere: Deployment,
    processes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = len(await acme.ledger())
    monkeypatch.setattr(change_queue, "PATIENCE_SECONDS", 0.1 if processes == 1 else 60)
    elsewhere = fintoc_elsewhere if processes == 2 else acme.deployment
    async with elsewhere.service.ledger.change(OPERATOR, acme.id):
        busy = await acme.invite("bob", ["support"])
    assert (busy.status_code, busy.json()["code"]) == (503, "organization_busy")
    assert len(await acme.ledger()) == before


async def test_a_queue_before_one_organization_does_not_delay_others(
    acme: Organization, globex: Organization, fintoc_elsewhere: Deployment
) -> None:
    [bob] = await acme.add_users(bob=[])
    path = f"{acme.path}/members/{bob}/reactivate"
    async with fintoc_elsewhere.service.ledger.change(OPERATOR, acme.id):
        waiting = [
            asyncio.create_task(acme.administrator.ask("POST", path)) for _ in range(MANY_REQUESTS)
        ]
        await _wait_for_lock_waiter(acme)
        invited = await globex.invite("eve", ["support"])
        assert invited.status_code == 201
        assert not any(each.done() for each in waiting)
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} <= {409, 503}
    assert answers[0].status_code == 409


async def test_a_caller_who_stops_waiting_leaves_the_turn_to_the_next(acme: Organization) -> None:
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        impatient = asyncio.create_task(acme.invite("bob", ["support"]))
        patient = asyncio.create_task(acme.invite("eve", ["support"]))
        await asyncio.wait([impatient], timeout=0.1)
        impatient.cancel()
        await asyncio.wait([impatient])
    assert (await patient).status_code == 201
    assert acme.deployment.mails_to(acme.address("bob")) == []
    await assert_agreement(acme)


async def test_a_change_of_another_organization_does_not_wait(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await globex.add_users(bob=[])
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        await _give(globex, bob, "support")
    assert await globex.deployment.check(globex.id, bob, "refunds_create")


async def test_changes_of_two_organizations_in_any_order_do_not_deadlock(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await acme.add_users(bob=[])
    [eve] = await globex.add_users(eve=[])

    async def both(*organizations: Organization) -> None:
        for role in ROLES:
            async with operator_session(*organizations) as session:
                for organization, user in ((acme, bob), (globex, eve)):
                    keys = {"organization_id": organization.id, "user_id": user}
                    await session.execute(text(TOGGLE), keys | {"role": role})

    await _together(both(acme, globex), both(globex, acme))
    await assert_agreement(acme)
    await assert_agreement(globex)


async def test_many_changes_at_once_make_a_dense_ledger_in_order(acme: Organization) -> None:
    bob, eve = await acme.add_users(bob=[], eve=[])
    before = len(await acme.ledger())
    await _together(*(_give(acme, user, role) for user in (bob, eve) for role in ROLES))
    ledger = await ledger_entries(acme)
    assert [entry.position for entry in ledger] == list(range(1, before + 11))
    assert [entry.decided_at for entry in ledger] == sorted(entry.decided_at for entry in ledger)
    assert await applied_positions(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in ledger
    }
    await assert_agreement(acme)


async def test_separate_processes_agree_through_the_database(
    acme: Organization, fintoc: Deployment
) -> None:
    users = await acme.add_users(**{name: [] for name in "abcdefgh"})
    async with another_process(fintoc) as second, another_process(fintoc) as third:
        organizations = [acme, served_by(second, acme), served_by(third, acme)]
        await _together(
            *(
                _give(organizations[(index + number) % 3], user, role)
                for index, user in enumerate(users)
                for number, role in enumerate(ROLES)
            )
        )
    ledger = await ledger_entries(acme)
    assert await applied_positions(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in ledger
    }
    await assert_agreement(acme)


async def test_of_two_administrators_who_remove_each_other_one_remains(
    acme: Organization, fintoc: Deployment
) -> None:
    async with fintoc.operator(acme.id) as change:
        eve = await grant_administrator(change, acme.id, acme.address("eve"), "a second one")
    ana = acme.administrator
    other = Person(fintoc, eve.user_id, acme.address("eve"), await fintoc.token(eve.user_id))
    answers = await asyncio.gather(acme.remove(other, by=ana), acme.remove(ana, by=other))
    first, second = sorted(answer.status_code for answer in answers)
    assert first == 204
    assert second in (401, 404)  # a removed member is also signed out
    assert len([each for each in await assert_agreement(acme) if "#administrator@" in each]) == 1


async def test_concurrent_events_make_a_dense_chain(
    acme: Organization, superuser_connection: Connection
) -> None:
    chain = f"{acme.id}-other"
    sessions = acme.deployment.service.sessions
    await _together(
        *(record_alone(sessions, OPERATOR, OrganizationCreated(), chain=chain) for _ in range(20))
    )
    rows = await superuser_connection.fetch(
        "SELECT position FROM events WHERE chain = $1 ORDER BY 1", chain
    )
    assert [row["position"] for row in rows] == list(range(1, 21))
    assert await broken_events(superuser_connection, chain) == []


async def test_decision_times_never_go_back_even_if_the_clock_does(
    acme: Organization, superuser_connection: Connection
) -> None:
    await superuser_connection.execute(
        "UPDATE ledger_heads SET decided_at = now() + interval '1 hour' WHERE organization_id = $1",
        acme.id,
    )
    [bob] = await acme.add_users(bob=[])
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        last = (await ledger_entries(acme))[-1].decided_at
        assert last > await acme.deployment.service.now()
        assert change.now >= last
    await _give(acme, bob, "support")
    assert (await ledger_entries(acme))[-1].decided_at >= last


TOGGLE = """
WITH taken AS (
  DELETE FROM role_assignments
  WHERE (organization_id, user_id, role) = (:organization_id, :user_id, :role) RETURNING 1
)
INSERT INTO role_assignments (organization_id, user_id, role)
SELECT :organization_id, :user_id, :role WHERE NOT EXISTS (SELECT FROM taken)
"""


async def _wait_for_lock_waiter(organization: Organization) -> None:
    """Wait until another transaction waits for a lock of ours."""

    async def waits() -> bool:
        async with organization.deployment.service.reads() as session:
            count = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            return bool(await session.scalar(text(count)))

    await wait_until(waits)
