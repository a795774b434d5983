"""Every position arrives in SpiceDB once and in order, whichever process delivers it."""

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
from tests.support.agreement import (
    MARKER,
    applied_positions,
    assert_agreement,
    ledger_entries,
    operator_session,
    spicedb_contents,
    spicedb_relationships,
)
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import another_process

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


async def _decide(organization: Organization, statement: str, user: UserId, role: str) -> int:
    """Commit a change and stop there, as a process that dies does; return its position."""
    async with organization.deployment.service.ledger.change(OPERATOR, organization.id) as change:
        keys = {"acme": organization.id, "bob": user, "role": role}
        await change.session.execute(text(statement), keys)
        await change.session.commit()
        return change.entries[-1].position


async def test_each_position_is_marked_with_its_hash_for_thirty_days(acme: Organization) -> None:
    await acme.add_users(bob=["support"], eve=["product"])
    assert await applied_positions(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in await ledger_entries(acme)
    }
    for each in await spicedb_contents(acme):
        if each.relation == MARKER:
            assert each.expiration is not None
            left = each.expiration - datetime.now(UTC)
            assert timedelta(days=30) - timedelta(minutes=1) < left <= timedelta(days=30)


async def test_a_pending_position_arrives_with_the_next_change(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    decided = await _decide(acme, TAKE, bob, "support")
    assert await acme.deployment.check(acme.id, bob, "refunds_create")
    assert decided not in await applied_positions(acme)

    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        assert not await change.permitted(acme.id, bob, ["refunds_create"])
    assert decided in await applied_positions(acme)
    await assert_agreement(acme)


async def test_positions_that_dead_processes_left_arrive_in_order(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=[])
    for statement in (GIVE, TAKE, GIVE, TAKE, GIVE):
        await _decide(acme, statement, bob, "support")
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        pass
    assert f"organization:{acme.id}#support@user:{bob}" in await assert_agreement(acme)


async def test_positions_of_an_organization_that_was_not_locked_arrive_in_order(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await globex.add_users(bob=[])
    await _decide(globex, GIVE, bob, "support")
    async with operator_session(acme) as session:
        await session.execute(text(TAKE), {"acme": globex.id, "bob": bob, "role": "support"})
    assert sorted(await applied_positions(globex)) == [
        entry.position for entry in await ledger_entries(globex)
    ]
    await assert_agreement(globex)


async def test_an_entry_sent_again_is_confirmed_and_changes_nothing(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await _forget(application_connection, acme)
    before = await spicedb_relationships(acme)
    async with another_process(fintoc) as second, second.operator(acme.id) as change:
        [ledger_position] = change.ledger_positions
        assert ledger_position.zed_token is not None
        assert await second.check(acme.id, bob, "refunds_create", at=ledger_position.zed_token)
    assert await spicedb_relationships(acme) == before
    for entry in await ledger_entries(acme):
        row = await application_connection.fetchrow(APPLICATION, acme.id, entry.position)
        assert row is not None
        assert row["status"] == "applied"
        assert row["zed_token"]
    await assert_agreement(acme)


async def test_lost_delivery_marks_are_written_again(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await _forget(application_connection, acme)
    async with operator_session(acme) as session:
        await session.execute(text(TAKE), {"acme": acme.id, "bob": bob, "role": "support"})
    left = await application_connection.fetchval(UNMARKED, acme.id)
    assert left == 0
    await assert_agreement(acme)


async def test_an_entry_sent_again_after_it_was_undone_stays_undone(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=[])
    for statement in (GIVE, TAKE):
        async with operator_session(acme) as session:
            await session.execute(text(statement), {"acme": acme.id, "bob": bob, "role": "support"})
    await _forget(application_connection, acme)
    async with another_process(fintoc) as second, second.operator(acme.id):
        assert not await second.check(acme.id, bob, "refunds_create")
    assert not await acme.deployment.check(acme.id, bob, "refunds_create")
    await assert_agreement(acme)


async def test_an_expired_marker_still_prevents_a_second_application(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await session.execute(text(TAKE), {"acme": acme.id, "bob": bob, "role": "support"})
    ended = [
        Touch(replace(each, expiration=datetime.now(UTC) - timedelta(seconds=1)))
        for each in await spicedb_contents(acme)
        if each.relation == MARKER
    ]
    await fintoc.service.engine.write(ended)
    assert await applied_positions(acme) == {}
    await _forget(application_connection, acme)
    async with another_process(fintoc) as second, second.operator(acme.id) as change:
        assert not await change.permitted(acme.id, bob, ["refunds_create"])
    assert len(await applied_positions(acme)) == len(await acme.ledger())
    await assert_agreement(acme)


async def test_watch_shows_the_change_behind_each_write(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["product"])
    start = (await acme.change_roles(bob, "support")).headers["Zed-Token"]
    changed = await acme.change_roles(bob, "developer")
    last = (await ledger_entries(acme))[-1]
    settings = acme.deployment.settings
    key = settings.spicedb_preshared_key.get_secret_value()
    async with insecure_channel(settings.spicedb_endpoint) as channel:
        watch: Any = WatchServiceStub(channel)  # its stubs know only the calls that block
        async for reported in watch.Watch(
            WatchRequest(
                optional_object_types=["organization"],
                optional_start_cursor=ZedToken(token=start),
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        ):
            if reported.updates:
                break
    assert MessageToDict(reported.optional_transaction_metadata) == {
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
    assert {update.relationship.relation for update in reported.updates} == {
        "developer",
        "support",
        "applied",
        "head",
    }


async def test_a_change_is_enforced_from_the_earliest_known_time(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    last = len(await acme.ledger())
    known = await application_connection.fetchval(ENFORCED, acme.id, last)
    async with another_process(fintoc) as second:
        left = await _decide(acme, TAKE, bob, "support")
        async with second.operator(acme.id):
            pass
        reported = await application_connection.fetchval(ENFORCED, acme.id, left)
        assert reported is not None
        async with operator_session(
            acme
        ) as session:  # the first process meets the marker of `left`
            await session.execute(text(GIVE), {"acme": acme.id, "bob": bob, "role": "support"})
    assert await application_connection.fetchval(ENFORCED, acme.id, last) == known
    assert await application_connection.fetchval(ENFORCED, acme.id, left) == reported


async def _forget(application_connection: Connection, organization: Organization) -> None:
    """Delete every delivery mark. A crash can lose the newest ones."""
    await application_connection.execute(
        "UPDATE ledger_applications SET status = 'pending', zed_token = NULL, enforced_at = NULL"
        " WHERE organization_id = $1",
        organization.id,
    )
