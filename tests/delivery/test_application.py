"""Every position arrives in SpiceDB once, in its turn, whoever brings it and however often."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from authzed.api.v1 import WatchRequest, ZedToken
from authzed.api.v1.watch_service_pb2_grpc import WatchServiceStub
from google.protobuf.json_format import MessageToDict
from grpc.aio import insecure_channel
from sqlalchemy import text

from teamaccess.relationships import Touch
from teamaccess.storage import UserId
from tests.support.connections import Connection
from tests.support.sides import (
    MARKER,
    agreed,
    changing,
    entries,
    graph,
    holdings,
    markers,
    seat,
)
from tests.support.spicedb_proxy import another_process
from tests.support.world import OPERATOR, Team, World

TAKE = (
    "DELETE FROM role_assignments WHERE organization_id = :acme AND user_id = :bob AND role = :role"
)
GIVE = "INSERT INTO role_assignments (organization_id, user_id, role) VALUES (:acme, :bob, :role)"
APPLICATION = "SELECT * FROM ledger_applications WHERE organization_id = $1 AND position = $2"
UNMARKED = """
SELECT count(*) FROM ledger_applications
WHERE organization_id = $1 AND (status <> 'applied' OR zed_token IS NULL OR enforced_at IS NULL)
"""
ENFORCED = (
    "SELECT enforced_at FROM ledger_applications WHERE organization_id = $1 AND position = $2"
)


async def _decide(team: Team, statement: str, user: UserId, role: str) -> int:
    """Commit a change and stop there, as a process that dies does; return its position."""
    async with team.world.service.ledger.change(OPERATOR, team.id) as change:
        keys = {"acme": team.id, "bob": user, "role": role}
        await change.session.execute(text(statement), keys)
        await change.session.commit()
        return change.entries[-1].position


async def test_each_position_is_marked_with_its_hash_for_thirty_days(acme: Team) -> None:
    await seat(acme, bob=["support"], eve=["product"])
    assert await markers(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in await entries(acme)
    }
    for each in await holdings(acme):
        if each.relation == MARKER:
            assert each.expiration is not None
            left = each.expiration - datetime.now(UTC)
            assert timedelta(days=30) - timedelta(minutes=1) < left <= timedelta(days=30)


async def test_what_was_decided_and_not_applied_comes_in_with_the_next_change(acme: Team) -> None:
    [bob] = await seat(acme, bob=["support"])
    decided = await _decide(acme, TAKE, bob, "support")
    assert await acme.world.check(acme.id, bob, "refunds_create")
    assert decided not in await markers(acme)

    async with acme.world.service.ledger.change(OPERATOR, acme.id) as change:
        assert not await change.permitted(acme.id, bob, ["refunds_create"])
    assert decided in await markers(acme)
    await agreed(acme)


async def test_what_several_dead_processes_left_comes_in_in_order(acme: Team) -> None:
    [bob] = await seat(acme, bob=[])
    for statement in (GIVE, TAKE, GIVE, TAKE, GIVE):
        await _decide(acme, statement, bob, "support")
    async with acme.world.service.ledger.change(OPERATOR, acme.id):
        pass
    assert f"organization:{acme.id}#support@user:{bob}" in await agreed(acme)


async def test_an_organization_changed_without_having_been_locked_is_told_in_order_too(
    acme: Team, globex: Team
) -> None:
    [bob] = await seat(globex, bob=[])
    await _decide(globex, GIVE, bob, "support")
    async with changing(acme) as session:
        await session.execute(text(TAKE), {"acme": globex.id, "bob": bob, "role": "support"})
    assert sorted(await markers(globex)) == [entry.position for entry in await entries(globex)]
    await agreed(globex)


async def test_an_entry_sent_again_is_confirmed_and_changes_nothing(
    acme: Team, fintoc: World, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    await _forget(application, acme)
    before = await graph(acme)
    async with another_process(fintoc) as second, second.operator(acme.id) as change:
        [standing] = change.standing
        assert standing.zed_token is not None
        assert await second.check(acme.id, bob, "refunds_create", at=standing.zed_token)
    assert await graph(acme) == before
    for entry in await entries(acme):
        row = await application.fetchrow(APPLICATION, acme.id, entry.position)
        assert row is not None
        assert row["status"] == "applied"
        assert row["zed_token"]
    await agreed(acme)


async def test_marks_lost_under_a_running_process_are_made_again(
    acme: Team, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    await _forget(application, acme)
    async with changing(acme) as session:
        await session.execute(text(TAKE), {"acme": acme.id, "bob": bob, "role": "support"})
    left = await application.fetchval(UNMARKED, acme.id)
    assert left == 0
    await agreed(acme)


async def test_an_entry_sent_again_after_it_was_undone_stays_undone(
    acme: Team, fintoc: World, application: Connection
) -> None:
    [bob] = await seat(acme, bob=[])
    for statement in (GIVE, TAKE):
        async with changing(acme) as session:
            await session.execute(text(statement), {"acme": acme.id, "bob": bob, "role": "support"})
    await _forget(application, acme)
    async with another_process(fintoc) as second, second.operator(acme.id):
        assert not await second.check(acme.id, bob, "refunds_create")
    assert not await acme.world.check(acme.id, bob, "refunds_create")
    await agreed(acme)


async def test_a_marker_whose_time_is_over_still_keeps_its_entry_from_being_applied_twice(
    acme: Team, fintoc: World, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    async with changing(acme) as session:
        await session.execute(text(TAKE), {"acme": acme.id, "bob": bob, "role": "support"})
    ended = [
        Touch(replace(each, expiration=datetime.now(UTC) - timedelta(seconds=1)))
        for each in await holdings(acme)
        if each.relation == MARKER
    ]
    await fintoc.service.engine.write(ended)
    assert await markers(acme) == {}
    await _forget(application, acme)
    async with another_process(fintoc) as second, second.operator(acme.id) as change:
        assert not await change.permitted(acme.id, bob, ["refunds_create"])
    assert len(await markers(acme)) == len(await acme.ledger())
    await agreed(acme)


async def test_watch_tells_whose_change_each_write_was(acme: Team) -> None:
    bob = await acme.member("bob", roles=["product"])
    start = (await acme.change_roles(bob, "support")).headers["Zed-Token"]
    changed = await acme.change_roles(bob, "developer")
    last = (await entries(acme))[-1]
    settings = acme.world.settings
    key = settings.spicedb_preshared_key.get_secret_value()
    async with insecure_channel(settings.spicedb_endpoint) as channel:
        watch: Any = WatchServiceStub(channel)  # its stubs know only the calls that block
        async for told in watch.Watch(
            WatchRequest(
                optional_object_types=["organization"],
                optional_start_cursor=ZedToken(token=start),
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        ):
            if told.updates:
                break
    assert MessageToDict(told.optional_transaction_metadata) == {
        "teamaccess": {
            "changes": [
                {
                    "organization": acme.id,
                    "position": changed.headers["Teamaccess-Change"].rpartition(":")[2],
                    "actor": f"user:{acme.administrator.id}",
                    "request_id": changed.headers["X-Request-Id"],
                }
            ]
        }
    }
    assert last.request_id == changed.headers["X-Request-Id"]
    assert {update.relationship.relation for update in told.updates} == {
        "developer",
        "support",
        "applied",
        "head",
    }


async def test_the_time_from_which_a_change_was_enforced_is_the_first_one_known(
    acme: Team, fintoc: World, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    last = len(await acme.ledger())
    known = await application.fetchval(ENFORCED, acme.id, last)
    async with another_process(fintoc) as second:
        left = await _decide(acme, TAKE, bob, "support")
        async with second.operator(acme.id):
            pass
        told = await application.fetchval(ENFORCED, acme.id, left)
        assert told is not None
        async with changing(acme) as session:  # the first process meets the marker of `left`
            await session.execute(text(GIVE), {"acme": acme.id, "bob": bob, "role": "support"})
    assert await application.fetchval(ENFORCED, acme.id, last) == known
    assert await application.fetchval(ENFORCED, acme.id, left) == told


async def _forget(application: Connection, team: Team) -> None:
    """Lose every mark of what was applied, as a crash may lose the newest ones."""
    await application.execute(
        "UPDATE ledger_applications SET status = 'pending', zed_token = NULL, enforced_at = NULL"
        " WHERE organization_id = $1",
        team.id,
    )
