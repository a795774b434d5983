"""Changes at the same time: one after the other in each organization, whoever makes them."""

import asyncio
from collections.abc import Awaitable

import pytest
from sqlalchemy import text

from teamaccess.changes import change_queue
from teamaccess.changes.events import record_alone
from teamaccess.changes.events.organizations import OrganizationCreated
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.storage import RoleAssignment, RoleId, UserId
from tests.support.chain_hashes import broken_events
from tests.support.connections import Connection
from tests.support.sides import agreed, changing, entries, markers, seat
from tests.support.spicedb_proxy import another_process, through, until
from tests.support.world import OPERATOR, Person, Team, World

CROWD = 60
"""More than there are connections to write with."""
ROLES = ["developer", "finance_and_accounting", "operations", "product", "support"]


async def _give(team: Team, user: UserId, role: str) -> None:
    async with changing(team) as session:
        session.add(RoleAssignment(organization_id=team.id, user_id=user, role=RoleId(role)))


async def _together(*stories: Awaitable[None]) -> None:
    await asyncio.gather(*stories)


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_second_change_of_an_organization_waits_for_the_first(
    acme: Team, fintoc_elsewhere: World, processes: int
) -> None:
    [bob] = await seat(acme, bob=[])
    elsewhere = fintoc_elsewhere if processes == 2 else acme.world
    order: list[str] = []

    async def first(locked: asyncio.Event) -> None:
        async with changing(acme) as session:
            locked.set()
            session.add(
                RoleAssignment(organization_id=acme.id, user_id=bob, role=RoleId("support"))
            )
            await session.flush()
            if processes == 2:
                await _somebody_waits(acme)
            order.append("first")

    async def second(locked: asyncio.Event) -> None:
        await locked.wait()
        async with elsewhere.service.ledger.change(OPERATOR, acme.id) as change:
            order.append("second")
            [standing] = change.standing
            assert standing.position == len(await acme.ledger())
            assert await change.permitted(acme.id, bob, ["refunds_create"])

    locked = asyncio.Event()
    await _together(first(locked), second(locked))
    assert order == ["first", "second"]
    await agreed(acme)


@pytest.mark.parametrize("processes", [1, 2])
async def test_who_waits_too_long_for_an_organization_is_told_that_it_is_busy(
    acme: Team, fintoc_elsewhere: World, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(await acme.ledger())
    monkeypatch.setattr(change_queue, "PATIENCE_SECONDS", 0.1 if processes == 1 else 60)
    elsewhere = fintoc_elsewhere if processes == 2 else acme.world
    async with elsewhere.service.ledger.change(OPERATOR, acme.id):
        busy = await acme.invite("bob", ["support"])
    assert (busy.status_code, busy.json()["code"]) == (503, "organization_busy")
    assert len(await acme.ledger()) == before


async def test_a_crowd_before_one_organization_keeps_nobody_else_waiting(
    acme: Team, globex: Team, fintoc_elsewhere: World
) -> None:
    [bob] = await seat(acme, bob=[])
    path = f"{acme.path}/members/{bob}/reactivate"
    async with fintoc_elsewhere.service.ledger.change(OPERATOR, acme.id):
        crowd = [asyncio.create_task(acme.administrator.ask("POST", path)) for _ in range(CROWD)]
        await _somebody_waits(acme)
        invited = await globex.invite("eve", ["support"])
        assert invited.status_code == 201
        assert not any(each.done() for each in crowd)
    answers = await asyncio.gather(*crowd)
    assert {answer.status_code for answer in answers} <= {409, 503}
    assert answers[0].status_code == 409


async def test_who_gives_up_waiting_leaves_the_turn_to_the_next_one(acme: Team) -> None:
    async with acme.world.service.ledger.change(OPERATOR, acme.id):
        impatient = asyncio.create_task(acme.invite("bob", ["support"]))
        patient = asyncio.create_task(acme.invite("eve", ["support"]))
        await asyncio.wait([impatient], timeout=0.1)
        impatient.cancel()
        await asyncio.wait([impatient])
    assert (await patient).status_code == 201
    assert acme.world.mails_to(acme.address("bob")) == []
    await agreed(acme)


async def test_a_change_of_another_organization_does_not_wait(acme: Team, globex: Team) -> None:
    [bob] = await seat(globex, bob=[])
    async with acme.world.service.ledger.change(OPERATOR, acme.id):
        await _give(globex, bob, "support")
    assert await globex.world.check(globex.id, bob, "refunds_create")


async def test_two_changes_of_two_organizations_named_in_any_order_do_not_block_each_other(
    acme: Team, globex: Team
) -> None:
    [bob] = await seat(acme, bob=[])
    [eve] = await seat(globex, eve=[])

    async def both(*teams: Team) -> None:
        for role in ROLES:
            async with changing(*teams) as session:
                for team, user in ((acme, bob), (globex, eve)):
                    keys = {"organization_id": team.id, "user_id": user}
                    await session.execute(text(TOGGLE), keys | {"role": role})

    await _together(both(acme, globex), both(globex, acme))
    await agreed(acme)
    await agreed(globex)


async def test_many_changes_at_once_make_a_dense_ledger_in_order(acme: Team) -> None:
    bob, eve = await seat(acme, bob=[], eve=[])
    before = len(await acme.ledger())
    await _together(*(_give(acme, user, role) for user in (bob, eve) for role in ROLES))
    ledger = await entries(acme)
    assert [entry.position for entry in ledger] == list(range(1, before + 11))
    assert [entry.decided_at for entry in ledger] == sorted(entry.decided_at for entry in ledger)
    assert await markers(acme) == {entry.position: entry.hash.hex()[:12] for entry in ledger}
    await agreed(acme)


async def test_processes_that_share_nothing_but_the_database_agree_too(
    acme: Team, fintoc: World
) -> None:
    seats = await seat(acme, **{name: [] for name in "abcdefgh"})
    async with another_process(fintoc) as second, another_process(fintoc) as third:
        teams = [acme, through(second, acme), through(third, acme)]
        await _together(
            *(
                _give(teams[(place + number) % 3], user, role)
                for place, user in enumerate(seats)
                for number, role in enumerate(ROLES)
            )
        )
    ledger = await entries(acme)
    assert await markers(acme) == {entry.position: entry.hash.hex()[:12] for entry in ledger}
    await agreed(acme)


async def test_of_two_administrators_who_remove_each_other_one_stays(
    acme: Team, fintoc: World
) -> None:
    async with fintoc.operator(acme.id) as change:
        eve = await grant_administrator(change, acme.id, acme.address("eve"), "a second one")
    ana = acme.administrator
    other = Person(fintoc, eve.user_id, acme.address("eve"), await fintoc.token(eve.user_id))
    answers = await asyncio.gather(
        acme.act("remove", other, by=ana), acme.act("remove", ana, by=other)
    )
    first, second = sorted(answer.status_code for answer in answers)
    assert first == 204
    assert second in (401, 404)  # whoever was removed is signed out, too
    assert len([each for each in await agreed(acme) if "#administrator@" in each]) == 1


async def test_events_told_at_once_make_a_dense_chain_too(
    acme: Team, superuser: Connection
) -> None:
    chain = f"{acme.id}-told"
    sessions = acme.world.service.sessions
    await _together(
        *(record_alone(sessions, OPERATOR, OrganizationCreated(), chain=chain) for _ in range(20))
    )
    places = await superuser.fetch("SELECT position FROM events WHERE chain = $1 ORDER BY 1", chain)
    assert [row["position"] for row in places] == list(range(1, 21))
    assert await broken_events(superuser, chain) == []


async def test_a_time_of_decision_never_goes_back_even_if_the_clock_does(
    acme: Team, superuser: Connection
) -> None:
    await superuser.execute(
        "UPDATE ledger_heads SET decided_at = now() + interval '1 hour' WHERE organization_id = $1",
        acme.id,
    )
    [bob] = await seat(acme, bob=[])
    async with acme.world.service.ledger.change(OPERATOR, acme.id) as change:
        last = (await entries(acme))[-1].decided_at
        assert last > await acme.world.service.now()
        assert change.now >= last
    await _give(acme, bob, "support")
    assert (await entries(acme))[-1].decided_at >= last


TOGGLE = """
WITH taken AS (
  DELETE FROM role_assignments
  WHERE (organization_id, user_id, role) = (:organization_id, :user_id, :role) RETURNING 1
)
INSERT INTO role_assignments (organization_id, user_id, role)
SELECT :organization_id, :user_id, :role WHERE NOT EXISTS (SELECT FROM taken)
"""


async def _somebody_waits(team: Team) -> None:
    """Wait until another transaction waits for a lock of ours."""

    async def waits() -> bool:
        async with team.world.service.reads() as session:
            count = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            return bool(await session.scalar(text(count)))

    await until(waits)
