"""Every way to change rows is recorded in the ledger and reaches SpiceDB."""

from datetime import UTC, datetime

from sqlalchemy import delete, insert, text, update

from teamaccess.storage import Membership, RoleAssignment, RoleId, UserId
from tests.support.agreement import assert_agreement, operator_session
from tests.support.organization import Organization

MARCH = datetime(2030, 3, 1, 12, 30, tzinfo=UTC)


async def test_a_row_changed_through_the_orm_reaches_spicedb(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        membership = await session.get_one(Membership, (acme.id, bob))
        membership.suspend(datetime.now(UTC))
    assert (await acme.ledger())[-1] == [f"DELETE organization:{acme.id}#member@user:{bob}"]
    await assert_agreement(acme)


async def test_bulk_statements_reach_spicedb(acme: Organization) -> None:
    bob, eve = await acme.add_users(bob=["support"], eve=["product"])
    async with operator_session(acme) as session:
        await session.execute(
            insert(RoleAssignment),
            [
                {"organization_id": acme.id, "user_id": each, "role": RoleId("developer")}
                for each in (bob, eve)
            ],
        )
        await session.execute(
            update(RoleAssignment)
            .where(RoleAssignment.organization_id == acme.id, RoleAssignment.role == "product")
            .values(expires_at=MARCH)
        )
        await session.execute(
            delete(RoleAssignment).where(
                RoleAssignment.organization_id == acme.id, RoleAssignment.role == "support"
            )
        )
    roles = f"organization:{acme.id}#"
    product = f"{roles}product@user:{eve}"
    assert (await acme.ledger())[-1] == [
        f"DELETE {roles}support@user:{bob}",
        *sorted(f"TOUCH {roles}developer@user:{each}" for each in (bob, eve)),
        f"TOUCH {product}[expiration:2030-03-01T12:30:00Z] WAS {product}",
    ]
    await assert_agreement(acme)


async def test_raw_sql_reaches_spicedb(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await session.execute(
            text("UPDATE memberships SET suspended_at = now() WHERE user_id = :bob"), {"bob": bob}
        )
    assert (await acme.ledger())[-1] == [f"DELETE organization:{acme.id}#member@user:{bob}"]
    await assert_agreement(acme)


async def test_one_statement_that_changes_two_tables_is_one_position(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await session.execute(
            text(
                """
                WITH back AS (
                  UPDATE memberships SET suspended_at = now() WHERE user_id = :bob
                  RETURNING organization_id, user_id
                ), gone AS (
                  DELETE FROM role_assignments USING back
                  WHERE role_assignments.user_id = back.user_id
                )
                INSERT INTO role_assignments (organization_id, user_id, role)
                SELECT organization_id, user_id, 'developer' FROM back
                """
            ),
            {"bob": bob},
        )
    assert (await acme.ledger())[-1] == [
        f"DELETE organization:{acme.id}#member@user:{bob}",
        f"DELETE organization:{acme.id}#support@user:{bob}",
        f"TOUCH organization:{acme.id}#developer@user:{bob}",
    ]
    await assert_agreement(acme)


async def test_rows_deleted_with_a_membership_are_in_the_ledger(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support", "product"])
    async with operator_session(acme) as session:
        await session.execute(text("DELETE FROM memberships WHERE user_id = :bob"), {"bob": bob})
    assert (await acme.ledger())[-1] == [
        f"DELETE organization:{acme.id}#{relation}@user:{bob}"
        for relation in ("member", "product", "support")
    ]
    await assert_agreement(acme)


async def test_a_change_without_net_effect_is_not_in_the_ledger(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await acme.ledger()
    async with operator_session(acme) as session:
        for change in ("memberships SET joined_at = now()", "role_assignments SET role = role"):
            await session.execute(text(f"UPDATE {change} WHERE user_id = :bob"), {"bob": bob})
        member = await session.get_one(Membership, (acme.id, bob))
        member.suspend(datetime.now(UTC))
        await session.flush()
        member.reactivate()
    assert await acme.ledger() == before
    await assert_agreement(acme)


async def test_a_row_deleted_and_recreated_is_not_a_change(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await acme.ledger()
    async with operator_session(acme) as session:
        await session.execute(text("DELETE FROM memberships WHERE user_id = :bob"), {"bob": bob})
        await session.execute(insert(Membership), _keys(acme, bob))
        await session.execute(insert(RoleAssignment), _keys(acme, bob) | {"role": "support"})
    assert await acme.ledger() == before
    await assert_agreement(acme)


async def test_a_row_recreated_with_another_expiry_is_one_touch(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await session.execute(delete(RoleAssignment).where(RoleAssignment.user_id == bob))
        await session.execute(
            insert(RoleAssignment),
            _keys(acme, bob) | {"role": "support", "expires_at": MARCH},
        )
    support = f"organization:{acme.id}#support@user:{bob}"
    assert (await acme.ledger())[-1] == [
        f"TOUCH {support}[expiration:2030-03-01T12:30:00Z] WAS {support}"
    ]
    await assert_agreement(acme)


async def test_an_expiry_may_be_moved_removed_and_set_again(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    support = f"organization:{acme.id}#support@user:{bob}"
    for end in (
        "2030-03-01T00:00:00Z",
        "2031-03-01T00:00:00.000001Z",
        None,
        "2029-01-01T00:00:00Z",
    ):
        async with operator_session(acme) as session:
            await session.execute(
                text(
                    "UPDATE role_assignments SET expires_at = cast(:end AS text)::timestamptz"
                    " WHERE user_id = :bob"
                ),
                {"end": end, "bob": bob},
            )
        held = support if end is None else f"{support}[expiration:{end}]"
        assert held in await assert_agreement(acme)
        assert (await acme.ledger())[-1][0].startswith(f"TOUCH {held} WAS {support}")


async def test_several_flushes_are_one_position(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = len(await acme.ledger())
    async with operator_session(acme) as session:
        for role in ("developer", "product", "operations"):
            session.add(RoleAssignment(**_keys(acme, bob), role=RoleId(role)))
            await session.flush()
        await session.execute(
            delete(RoleAssignment).where(
                RoleAssignment.user_id == bob, RoleAssignment.role == "product"
            )
        )
    assert (await acme.ledger())[before:] == [
        [
            f"TOUCH organization:{acme.id}#developer@user:{bob}",
            f"TOUCH organization:{acme.id}#operations@user:{bob}",
        ]
    ]
    await assert_agreement(acme)


def _keys(organization: Organization, user: UserId) -> dict[str, str]:
    return {"organization_id": organization.id, "user_id": user}
