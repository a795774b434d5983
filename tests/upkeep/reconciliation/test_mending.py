"""What has drifted is mended through the ledger, and no more is deleted than was said."""

from sqlalchemy import text

from teamaccess.directory.organizations.create import create
from teamaccess.storage import OrganizationId
from tests.support.connections import Connection
from tests.support.sides import agreed, graph, markers, seat
from tests.support.steps import chain, events, has_stopped
from tests.support.world import OPERATOR, Team, World
from tests.upkeep.reconciliation.drift import everything, inspector, lose, one, put


async def test_what_is_mended_is_in_the_ledger_and_told(acme: Team) -> None:
    [bob] = await seat(acme, bob=["support"])
    me, before = f"organization:{acme.id}", await agreed(acme)
    await lose(acme.world, f"{me}#support@user:{bob}", f"{me}#member@user:{bob}")
    await put(acme.world, f"{me}#developer@user:{bob}", f"team:{acme.id}/pay#member@user:eve")

    verdict = await one(acme, max_deletes=2)

    assert (verdict.found, verdict.mended, verdict.left) == (4, 4, 0)
    assert await agreed(acme) == before
    assert (await acme.ledger())[-1] == [
        f"PURGE {me}#developer@user:{bob}",
        f"PURGE team:{acme.id}/pay#member@user:eve",
        f"RESTORE {me}#member@user:{bob}",
        f"RESTORE {me}#support@user:{bob}",
    ]
    told = (await events(acme))[-1]
    assert (told.kind, told.actor) == ("drift_mended", OPERATOR.actor)
    assert told.details == {"purged": 2, "restored": 2}
    assert len(await markers(acme)) == len(await acme.ledger())
    assert (await one(acme)).found == 0


async def test_a_second_head_is_told_and_goes(apart: World) -> None:
    """With it a ledger restored from a backup would pass for the one that SpiceDB has."""
    acme = await apart.create("acme")
    second = f"organization:{acme.id}#head@ledger_position:1-0123456789ab"
    await put(apart, second)
    assert (await everything(apart))[acme.id].differences == {"foreign": [second]}
    assert (await one(acme, max_deletes=1)).left == 0
    assert (await acme.ledger())[-1] == [f"PURGE {second}"]
    assert (await one(acme)).found == 0
    assert await acme.can(acme.administrator, "users_invite")


async def test_another_end_is_put_right(acme: Team) -> None:
    [bob] = await seat(acme, bob=["support"])
    await put(
        acme.world, f"organization:{acme.id}#support@user:{bob}[expiration:2090-01-01T00:00:00Z]"
    )
    assert (await one(acme, max_deletes=0)).mended == 1
    assert (await acme.ledger())[-1] == [f"RESTORE organization:{acme.id}#support@user:{bob}"]
    await agreed(acme)


async def test_more_deletes_than_allowed_mend_nothing_and_are_told(
    acme: Team, globex: Team
) -> None:
    strange = [f"organization:{acme.id}#support@user:stranger{number}" for number in range(3)]
    await put(acme.world, *strange)
    await lose(acme.world, f"organization:{acme.id}#member@user:{acme.administrator.id}")
    await put(acme.world, f"organization:{globex.id}#support@user:stranger")
    mending = inspector(acme.world, max_deletes=2)
    refused, mended = (
        await mending.reconcile_tenant(acme.id),
        await mending.reconcile_tenant(globex.id),
    )
    assert (refused.problem, refused.mended, refused.needed) == ("too_many_deletes", 0, 3)
    assert "--max-deletes" in (refused.detail or "")
    assert set(strange) <= {str(each) for each in await graph(acme)}
    assert (mended.mended, mended.left) == (1, 0)


async def test_a_great_drift_is_mended_in_several_positions(acme: Team) -> None:
    users = await seat(acme, **{f"p{number}": ["support"] for number in range(40)})
    me = f"organization:{acme.id}"
    for role in ("developer", "product"):
        await put(acme.world, *(f"{me}#{role}@user:stranger{number}" for number in range(500)))
    await lose(acme.world, *(f"{me}#support@user:{user}" for user in users))
    positions = len(await acme.ledger())
    verdict = await one(acme, max_deletes=1000)
    assert (verdict.mended, verdict.left) == (1040, 0)
    assert len(await acme.ledger()) == positions + 3
    await agreed(acme)


async def test_what_was_lost_is_restored_even_where_a_change_is_pending(
    acme: Team, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    await lose(acme.world, f"organization:{acme.id}#support@user:{bob}")
    async with acme.world.service.ledger.change(OPERATOR, acme.id) as change:
        taking = "DELETE FROM role_assignments WHERE organization_id = :acme AND user_id = :bob"
        await change.session.execute(text(taking), {"acme": acme.id, "bob": bob})
        await change.session.commit()  # and nobody tells SpiceDB
    verdict = await one(acme, max_deletes=0)
    assert (verdict.found, verdict.problem) == (0, None)
    await agreed(acme)


async def test_nothing_of_an_ended_organization_is_left(acme: Team) -> None:
    ended = await acme.administrator.ask("DELETE", acme.path)
    assert ended.status_code == 204
    await put(acme.world, f"organization:{acme.id}#member@user:{acme.administrator.id}")
    assert (await one(acme)).counts == {"extra": 1}
    assert (await one(acme, max_deletes=1)).mended == 1
    assert await graph(acme) == set()
    assert (await acme.ledger())[-1] == [
        f"PURGE organization:{acme.id}#member@user:{acme.administrator.id}"
    ]


async def test_an_organization_that_has_stopped_is_not_judged(
    acme: Team, application: Connection
) -> None:
    forged = f"TOUCH organization:{acme.id}#overlord@user:eve"
    await application.execute(
        "INSERT INTO ledger (organization_id, updates, actor, channel, request_id,"
        " catalog_version) VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')",
        acme.id,
        forged,
    )
    await has_stopped(acme)
    assert (await one(acme, max_deletes=100)).problem == "organization_stopped"


async def test_a_tenant_that_sql_does_not_know_is_deleted_and_told(apart: World) -> None:
    acme = await apart.create("acme")
    hooli = ["organization:hooli#member@user:gavin", "team:hooli/box#member@user:gavin"]
    await put(apart, *hooli)
    refused = (await everything(apart, max_deletes=1))["hooli"]
    assert (refused.problem, refused.needed, refused.mended) == ("too_many_deletes", 2, 0)
    assert (await everything(apart, max_deletes=2))["hooli"].left == 0
    told = (await chain(acme, "-"))[-1]
    assert (told.kind, told.subject) == ("foreign_tenant_purged", "organization:hooli")
    assert told.details == {"relationships": 2}
    assert await everything(apart) == {}
    async with apart.operator() as change:
        await create(change, OrganizationId("hooli"), "Hooli", founder=None)


async def test_rows_changed_behind_the_ledger_s_back_are_told_and_no_entry_says_otherwise(
    acme: Team, superuser: Connection
) -> None:
    """Who owns the database can go round the notes; then the rows and SpiceDB differ."""
    [bob] = await seat(acme, bob=["support"])
    async with superuser.transaction():
        await superuser.execute("SET LOCAL session_replication_role = replica")
        await superuser.execute("DELETE FROM role_assignments WHERE user_id = $1", bob)
    positions = len(await acme.ledger())
    verdict = await one(acme, max_deletes=1)
    assert (verdict.counts, verdict.problem) == ({"extra": 1}, "ledger_disagrees")
    assert len(await acme.ledger()) == positions
