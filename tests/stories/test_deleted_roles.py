"""Deleting a role: what happens to its holders, invitees and requests."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from teamaccess.relationships import Delete, parse_update
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    InvitationStatus,
    RoleAssignment,
    RoleId,
    Team,
    TeamId,
    TeamMembership,
    TeamRole,
    new_request_id,
)
from tests.stories.custom_roles import create_role, delete_role, try_create_role
from tests.support.agreement import assert_agreement, ledger_entries, operator_session
from tests.support.organization import Organization as Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import running_worker, wait_until

HOUR = timedelta(hours=1)
ROLE = RoleId("treasurer")
HOLDERS = 3000
SEATS = """
WITH made AS (
  INSERT INTO users (id, email) SELECT :here || '-' || n, :here || n || '@seats.example'
  FROM generate_series(1, cast(:holders AS int)) AS n RETURNING id
), joined AS (
  INSERT INTO memberships (organization_id, user_id) SELECT :here, id FROM made
)
INSERT INTO role_assignments (organization_id, user_id, role, custom)
SELECT :here, id, 'treasurer', true FROM made
"""
PENDING = (
    "SELECT count(*) FROM ledger_applications WHERE organization_id = :id AND status <> 'applied'"
)


async def team(here: Organization, *people: Person, role: str = ROLE) -> None:
    """A team of these people that holds the role."""
    async with operator_session(here) as session:
        pay = TeamId("pay")
        custom = role not in here.deployment.service.catalog.roles
        session.add(Team(organization_id=here.id, id=pay, name="Pay"))
        await session.flush()
        session.add(
            TeamRole(organization_id=here.id, team_id=pay, role=RoleId(role), custom=custom)
        )
        for person in people:
            session.add(TeamMembership(organization_id=here.id, team_id=pay, user_id=person.id))


async def request(here: Organization, by: Person) -> AccessRequest:
    """An undecided request for the role."""
    asked = AccessRequest(
        organization_id=here.id,
        id=new_request_id(),
        user_id=by.id,
        role=ROLE,
        hours=1,
        reason_hash=b"0" * 32,
    )
    async with operator_session(here) as session:
        session.add(asked)
    return asked


async def again(here: Organization, asked: AccessRequest) -> AccessRequest:
    """The current state of a request."""
    async with here.deployment.service.reads() as session:
        return await session.get_one(AccessRequest, (here.id, asked.id))


async def ends(here: Organization, target: Person) -> dict[str, datetime | None]:
    """The expiry of each role of a member, read from the rows."""
    async with here.deployment.service.reads() as session:
        rows = await session.scalars(
            select(RoleAssignment).where(
                RoleAssignment.organization_id == here.id, RoleAssignment.user_id == target.id
            )
        )
        return {row.role: row.expires_at for row in rows}


async def test_a_role_without_holders_is_deleted_completely(
    acme: Organization,
) -> None:
    before = await assert_agreement(acme)
    await create_role(acme, ROLE, "payouts_view", "links_edit")
    assert (await delete_role(acme, ROLE)).status_code == 204
    assert await assert_agreement(acme) == before
    refused(await delete_role(acme, ROLE), 404, "role_not_found")
    assert (await try_create_role(acme, ROLE, "links_edit")).status_code == 201


async def test_a_role_in_use_is_deleted_only_with_a_replacement(
    acme: Organization,
) -> None:
    await create_role(acme, ROLE, "payouts_view")
    bob = await acme.member("bob", roles=[ROLE])
    dan = await acme.member("dan", roles=["support"])
    await acme.member("eve", roles=[ROLE, "support"])
    await team(acme, dan)
    await acme.invite("fay", [ROLE])
    await request(acme, dan)
    before = await assert_agreement(acme)

    problem = refused(await delete_role(acme, ROLE), 409, "role_in_use")

    assert [problem[kind] for kind in ("members", "teams", "invitations", "access_requests")] == [
        *(2, 1, 1, 1)
    ]
    assert await assert_agreement(acme) == before
    assert await acme.can(bob, "payouts_view")


async def test_holders_of_a_deleted_role_keep_their_other_roles(acme: Organization) -> None:
    await create_role(acme, ROLE, "payouts_view", "transfers_view")
    bob = await acme.member("bob", roles=[ROLE])
    dan = await acme.member("dan", roles=["support"])
    await team(acme, dan)
    only = (await acme.invite("fay", [ROLE])).json()["id"]
    both = (await acme.invite("gus", [ROLE, "support"])).json()["id"]
    old = (await acme.invite("hal", [ROLE])).json()["id"]
    await acme.backdate_invitation(old, timedelta(days=30))
    asked = await request(acme, dan)
    before = len(await acme.ledger())

    gone = await delete_role(acme, ROLE, "none")

    assert gone.status_code == 204
    token = gone.headers["Zed-Token"]
    assert not await acme.can(bob, "payouts_view", at=token)
    assert not await acme.can(dan, "transfers_view", at=token)
    assert await acme.can(dan, "refunds_create", at=token)
    assert await acme.can(bob, "membership", at=token)
    assert len(await acme.ledger()) == before + 1
    assert not [each for each in await assert_agreement(acme) if ROLE in each]
    now = await acme.deployment.service.now()
    assert (await acme.invitation(only)).status(now) is InvitationStatus.CANCELLED
    assert (await acme.invitation(both)).roles == ["support"]
    refused(await acme.accept("fay"), 409, "invitation_ended")
    assert (await acme.accept("gus")).is_success
    resent = await acme.administrator.ask("POST", f"{acme.path}/invitations/{old}/resend")
    refused(resent, 400, "unknown_role")
    decided = await again(acme, asked)
    assert (decided.status, decided.decided_by) == (AccessRequestStatus.WITHDRAWN, None)
    kinds = [each.kind for each in await acme.events()]
    assert {"role_deleted", "access_withdrawn", "invitation_cancelled"} <= set(kinds)


async def test_a_new_role_with_the_id_of_a_deleted_one_has_no_holders(acme: Organization) -> None:
    await create_role(acme, ROLE, "payouts_view")
    bob = await acme.member("bob", roles=[ROLE])
    await acme.invite("fay", [ROLE, "support"])
    await delete_role(acme, ROLE, "none")
    await create_role(acme, ROLE, "transfers_create")
    assert not await acme.can(bob, "transfers_create")
    fay = (await acme.accept("fay")).json()["user"]
    assert (await acme.roles_by_member())[fay] == ["support"]


async def test_holders_get_the_replacement_with_the_same_expiry(acme: Organization) -> None:
    await create_role(acme, ROLE, "payouts_view")
    people = {name: await acme.member(name, roles=[ROLE]) for name in ("bob", "dan", "eve", "fay")}
    await acme.change_roles(people["dan"], ROLE, "support")
    await acme.change_roles(people["eve"], ROLE, "support")
    now = datetime.now(UTC).replace(microsecond=0)
    await acme.set_role_expiry(people["bob"], ROLE, now + 2 * HOUR)
    await acme.set_role_expiry(people["dan"], ROLE, now + 3 * HOUR)
    await acme.set_role_expiry(people["dan"], "support", now + HOUR)
    await acme.set_role_expiry(people["eve"], "support", now + HOUR)
    await acme.set_role_expiry(people["fay"], ROLE, now - HOUR)
    gus = await acme.member("gus", roles=["product"])
    await team(acme, gus)
    offered = (await acme.invite("hal", [ROLE])).json()["id"]
    asked = await request(acme, gus)
    before = len(await acme.ledger())

    assert (await delete_role(acme, ROLE, "support")).status_code == 204

    assert len(await acme.ledger()) == before + 1
    assert await ends(acme, people["bob"]) == {"support": now + 2 * HOUR}
    assert await ends(acme, people["dan"]) == {"support": now + 3 * HOUR}
    assert await ends(acme, people["eve"]) == {"support": None}
    assert await ends(acme, people["fay"]) == {}
    for person in (people["bob"], people["dan"], people["eve"], gus):
        assert await acme.can(person, "refunds_create")
    assert (await acme.invitation(offered)).roles == ["support"]
    assert (await again(acme, asked)).status == AccessRequestStatus.WITHDRAWN
    assert (await acme.accept("hal")).is_success
    assert not [each for each in await assert_agreement(acme) if ROLE in each]


async def test_another_custom_role_may_be_the_replacement(acme: Organization) -> None:
    await create_role(acme, ROLE, "payouts_view")
    await create_role(acme, "purser", "transfers_view")
    bob = await acme.member("bob", roles=[ROLE])
    assert (await delete_role(acme, ROLE, "purser")).status_code == 204
    assert await acme.can(bob, "transfers_view")
    refused(await delete_role(acme, "purser", "purser"), 400, "reassigned_to_itself")
    refused(await delete_role(acme, "purser", "wizard"), 400, "unknown_role")
    refused(await delete_role(acme, "purser", "administrator"), 403, "operator_only_role")
    refused(await delete_role(acme, "purser", ""), 400, "invalid_request")
    assert await acme.can(bob, "transfers_view")
    await assert_agreement(acme)


async def test_a_member_cannot_delete_a_role_above_them_or_assign_a_replacement_beyond_them(
    initech: Organization,
) -> None:
    await create_role(initech, "smith", "roles_manage", "sources_view")
    await create_role(initech, ROLE, "sources_view")
    await create_role(initech, "creator", "sources_view", "billing_manage")
    bob = await initech.member("bob", roles=["smith"])
    dan = await initech.member("dan", roles=[ROLE])
    for instead in (None, "none", ROLE):
        problem = refused(
            await delete_role(initech, "creator", instead, by=bob), 403, "role_above_actor"
        )
        assert problem["missing"] == ["billing_manage"]
    for instead in ("creator", "write"):
        refused(await delete_role(initech, ROLE, instead, by=bob), 403, "role_beyond_giver")
    refused(await delete_role(initech, ROLE, "none", by=dan), 403, "missing_permission")
    assert (await delete_role(initech, ROLE, "none", by=bob)).status_code == 204


async def test_teams_do_not_get_a_replacement_that_teams_may_not_hold(
    initech: Organization,
) -> None:
    await create_role(initech, ROLE, "sources_view")
    bob = await initech.member("bob", roles=["read"])
    await team(initech, bob)
    before = await assert_agreement(initech)
    refused(await delete_role(initech, ROLE, "admin"), 409, "role_not_for_teams")
    assert await assert_agreement(initech) == before
    assert (await delete_role(initech, ROLE, "write")).status_code == 204
    assert await initech.can(bob, "sources_create")


@pytest.mark.parametrize("instead", ["none", "support"])
async def test_a_role_with_thousands_of_holders_is_deleted_completely(
    acme: Organization, instead: str
) -> None:
    async with running_worker(acme.deployment):
        await create_role(acme, ROLE, "refunds_create", "payouts_view")
        async with operator_session(acme) as session:
            await session.execute(text(SEATS), {"here": acme.id, "holders": HOLDERS})
        await wait_until(lambda: none_pending(acme))
        before = len(await acme.ledger())

        gone = await delete_role(acme, ROLE, instead)
        await wait_until(lambda: none_pending(acme))

    assert gone.status_code in (202, 204)
    assert not [each for each in await assert_agreement(acme) if ROLE in each]
    positions = [
        [parse_update(each) for each in entry.updates]
        for entry in (await ledger_entries(acme))[before:]
    ]
    revoking = [all(isinstance(each, Delete) for each in position) for position in positions]
    if instead == "none":
        assert revoking == [True] * 4
    else:  # the role's actions are deleted last, so that holders always have one of the two roles
        assert revoking == [False] * 7 + [True]
    somebody = f"{acme.id}-{HOLDERS}"
    assert await acme.deployment.check(acme.id, somebody, "refunds_create") == (
        instead == "support"
    )


async def test_concurrent_deletion_and_assignment_never_leave_an_assignment_of_a_deleted_role(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", roles=["support"])
    for _ in range(5):
        await create_role(acme, ROLE, "payouts_view")
        given, invited, gone = await asyncio.gather(
            acme.change_roles(bob, "support", ROLE),
            acme.invite("eve", [ROLE]),
            delete_role(acme, ROLE, "none"),
        )
        assert gone.status_code == 204
        for answer in (given, invited):
            assert answer.status_code in (200, 201) or answer.json()["code"] == "unknown_role"
        assert (await acme.roles_by_member())[bob.id] == ["support"]
        assert not [each for each in await assert_agreement(acme) if ROLE in each]


async def test_postgresql_refuses_to_delete_a_role_in_use(acme: Organization) -> None:
    await create_role(acme, ROLE, "payouts_view")
    await acme.member("bob", roles=[ROLE])
    before = await assert_agreement(acme)
    for statement in (
        "DELETE FROM custom_roles WHERE organization_id = :id",
        "UPDATE role_assignments SET role = 'gone' WHERE organization_id = :id AND custom",
    ):
        with pytest.raises(IntegrityError):
            async with operator_session(acme) as session:
                await session.execute(text(statement), {"id": acme.id})
    assert await assert_agreement(acme) == before


async def none_pending(here: Organization) -> bool:
    """Whether all that was decided is in force."""
    async with here.deployment.service.reads() as session:
        return bool(await session.scalar(text(PENDING), {"id": here.id}) == 0)
