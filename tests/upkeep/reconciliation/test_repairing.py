"""Drift is repaired through the ledger, with no more deletes than allowed."""

from sqlalchemy import text

from teamaccess.directory.organizations.create import create_organization
from teamaccess.storage import OrganizationId
from tests.support.agreement import applied_positions, assert_agreement, spicedb_relationships
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.upkeep.reconciliation.drift import (
    add_to_spicedb,
    compare_all,
    compare_one,
    create_inspector,
    delete_from_spicedb,
)


async def test_a_repair_is_in_the_ledger_and_in_the_events(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    me, before = f"organization:{acme.id}", await assert_agreement(acme)
    await delete_from_spicedb(
        acme.deployment, f"{me}#support@user:{bob}", f"{me}#member@user:{bob}"
    )
    await add_to_spicedb(
        acme.deployment, f"{me}#developer@user:{bob}", f"team:{acme.id}/pay#member@user:eve"
    )

    result = await compare_one(acme, max_deletes=2)

    assert (result.found, result.mended, result.left) == (4, 4, 0)
    assert await assert_agreement(acme) == before
    assert (await acme.ledger())[-1] == [
        f"PURGE {me}#developer@user:{bob}",
        f"PURGE team:{acme.id}/pay#member@user:eve",
        f"RESTORE {me}#member@user:{bob}",
        f"RESTORE {me}#support@user:{bob}",
    ]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.actor) == ("drift_mended", OPERATOR.actor)
    assert reported.details == {"purged": 2, "restored": 2}
    assert len(await applied_positions(acme)) == len(await acme.ledger())
    assert (await compare_one(acme)).found == 0


async def test_a_second_head_is_reported_and_deleted(isolated: Deployment) -> None:
    """With two heads, an older ledger from a backup would pass for the one that SpiceDB has."""
    acme = await isolated.create_organization("acme")
    second = f"organization:{acme.id}#head@ledger_position:1-0123456789ab"
    await add_to_spicedb(isolated, second)
    assert (await compare_all(isolated))[acme.id].differences == {"foreign": [second]}
    assert (await compare_one(acme, max_deletes=1)).left == 0
    assert (await acme.ledger())[-1] == [f"PURGE {second}"]
    assert (await compare_one(acme)).found == 0
    assert await acme.can(acme.administrator, "users_invite")


async def test_a_wrong_expiry_is_repaired(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await add_to_spicedb(
        acme.deployment,
        f"organization:{acme.id}#support@user:{bob}[expiration:2090-01-01T00:00:00Z]",
    )
    assert (await compare_one(acme, max_deletes=0)).mended == 1
    assert (await acme.ledger())[-1] == [f"RESTORE organization:{acme.id}#support@user:{bob}"]
    await assert_agreement(acme)


async def test_a_repair_with_too_many_deletes_is_refused_and_reported(
    acme: Organization, globex: Organization
) -> None:
    strange = [f"organization:{acme.id}#support@user:stranger{number}" for number in range(3)]
    await add_to_spicedb(acme.deployment, *strange)
    await delete_from_spicedb(
        acme.deployment, f"organization:{acme.id}#member@user:{acme.administrator.id}"
    )
    await add_to_spicedb(acme.deployment, f"organization:{globex.id}#support@user:stranger")
    inspector = create_inspector(acme.deployment, max_deletes=2)
    refused, repaired = (
        await inspector.reconcile_tenant(acme.id),
        await inspector.reconcile_tenant(globex.id),
    )
    assert (refused.problem, refused.mended, refused.needed) == ("too_many_deletes", 0, 3)
    assert "--max-deletes" in (refused.detail or "")
    assert set(strange) <= {str(each) for each in await spicedb_relationships(acme)}
    assert (repaired.mended, repaired.left) == (1, 0)


async def test_a_large_drift_is_repaired_in_several_positions(acme: Organization) -> None:
    users = await acme.add_users(**{f"p{number}": ["support"] for number in range(40)})
    me = f"organization:{acme.id}"
    for role in ("developer", "product"):
        await add_to_spicedb(
            acme.deployment, *(f"{me}#{role}@user:stranger{number}" for number in range(500))
        )
    await delete_from_spicedb(acme.deployment, *(f"{me}#support@user:{user}" for user in users))
    positions = len(await acme.ledger())
    result = await compare_one(acme, max_deletes=1000)
    assert (result.mended, result.left) == (1040, 0)
    assert len(await acme.ledger()) == positions + 3
    await assert_agreement(acme)


async def test_lost_relationships_are_restored_even_with_a_pending_change(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await delete_from_spicedb(acme.deployment, f"organization:{acme.id}#support@user:{bob}")
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        taking = "DELETE FROM role_assignments WHERE organization_id = :acme AND user_id = :bob"
        await change.session.execute(text(taking), {"acme": acme.id, "bob": bob})
        await change.session.commit()  # but nothing is sent to SpiceDB
    result = await compare_one(acme, max_deletes=0)
    assert (result.found, result.problem) == (0, None)
    await assert_agreement(acme)


async def test_nothing_of_a_deleted_organization_is_left(acme: Organization) -> None:
    ended = await acme.administrator.ask("DELETE", acme.path)
    assert ended.status_code == 204
    await add_to_spicedb(
        acme.deployment, f"organization:{acme.id}#member@user:{acme.administrator.id}"
    )
    assert (await compare_one(acme)).counts == {"extra": 1}
    assert (await compare_one(acme, max_deletes=1)).mended == 1
    assert await spicedb_relationships(acme) == set()
    assert (await acme.ledger())[-1] == [
        f"PURGE organization:{acme.id}#member@user:{acme.administrator.id}"
    ]


async def test_a_stopped_organization_is_not_compared(
    acme: Organization, application_connection: Connection
) -> None:
    forged = f"TOUCH organization:{acme.id}#overlord@user:eve"
    await application_connection.execute(
        "INSERT INTO ledger (organization_id, updates, actor, channel, request_id,"
        " catalog_version) VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')",
        acme.id,
        forged,
    )
    await acme.wait_until_stopped()
    assert (await compare_one(acme, max_deletes=100)).problem == "organization_stopped"


async def test_a_tenant_that_only_spicedb_knows_is_deleted_and_reported(
    isolated: Deployment,
) -> None:
    acme = await isolated.create_organization("acme")
    hooli = ["organization:hooli#member@user:gavin", "team:hooli/box#member@user:gavin"]
    await add_to_spicedb(isolated, *hooli)
    refused = (await compare_all(isolated, max_deletes=1))["hooli"]
    assert (refused.problem, refused.needed, refused.mended) == ("too_many_deletes", 2, 0)
    assert (await compare_all(isolated, max_deletes=2))["hooli"].left == 0
    reported = (await acme.deployment.events("-"))[-1]
    assert (reported.kind, reported.subject) == ("foreign_tenant_purged", "organization:hooli")
    assert reported.details == {"relationships": 2}
    assert await compare_all(isolated) == {}
    async with isolated.operator() as change:
        await create_organization(change, OrganizationId("hooli"), "Hooli", founder=None)


async def test_rows_changed_outside_the_ledger_are_reported_without_an_entry(
    acme: Organization, superuser_connection: Connection
) -> None:
    """The owner of the database can bypass the notes. Then the rows and SpiceDB differ."""
    [bob] = await acme.add_users(bob=["support"])
    async with superuser_connection.transaction():
        await superuser_connection.execute("SET LOCAL session_replication_role = replica")
        await superuser_connection.execute("DELETE FROM role_assignments WHERE user_id = $1", bob)
    positions = len(await acme.ledger())
    result = await compare_one(acme, max_deletes=1)
    assert (result.counts, result.problem) == ({"extra": 1}, "ledger_disagrees")
    assert len(await acme.ledger()) == positions
