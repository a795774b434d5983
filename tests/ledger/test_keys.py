"""Rows whose keys change stand for other relationships than before, perhaps another tenant's."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.support.agreement import assert_agreement, operator_session
from tests.support.organization import Organization

MOVE_MEMBERSHIP = text("UPDATE memberships SET user_id = :to WHERE user_id = :bob")


async def test_a_membership_moved_to_another_user_takes_everything_from_the_first(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await acme.add_users(bob=["product", "support"])
    [eve] = await globex.add_users(eve=[])
    async with operator_session(acme) as session:
        await session.execute(MOVE_MEMBERSHIP, {"bob": bob, "to": eve})
    assert (await acme.ledger())[-1] == [
        f"{verb} organization:{acme.id}#{relation}@user:{user}"
        for verb, user in (("DELETE", bob), ("TOUCH", eve))
        for relation in ("member", "product", "support")
    ]
    await assert_agreement(acme)
    assert not await acme.deployment.check(acme.id, bob, "membership")
    assert await acme.deployment.check(acme.id, eve, "refunds_create")


async def test_two_rows_cannot_swap_their_keys_in_one_statement(acme: Organization) -> None:
    bob, eve = await acme.add_users(bob=["support"], eve=["product"])
    before = await acme.ledger()
    with pytest.raises(IntegrityError, match="memberships_pkey"):
        async with operator_session(acme) as session:
            await session.execute(
                text(
                    "UPDATE memberships SET user_id = CASE user_id WHEN :bob THEN :eve ELSE :bob END"
                    " WHERE user_id IN (:bob, :eve)"
                ),
                {"bob": bob, "eve": eve},
            )
    assert await acme.ledger() == before
    await assert_agreement(acme)


async def test_two_rows_that_swap_keys_through_a_third_swap_their_relationships(
    acme: Organization, globex: Organization
) -> None:
    bob, eve = await acme.add_users(bob=["support"], eve=["product"])
    [spare] = await globex.add_users(spare=[])
    async with operator_session(acme) as session:
        for user, to in ((bob, spare), (eve, bob), (spare, eve)):
            await session.execute(
                text(
                    "UPDATE memberships SET user_id = :to WHERE user_id = :user"
                    " AND organization_id = :acme"
                ),
                {"user": user, "to": to, "acme": acme.id},
            )
    roles = f"organization:{acme.id}#"
    assert sorted((await acme.ledger())[-1]) == sorted(
        [
            f"DELETE {roles}product@user:{eve}",
            f"DELETE {roles}support@user:{bob}",
            f"TOUCH {roles}product@user:{bob}",
            f"TOUCH {roles}support@user:{eve}",
        ]
    )
    await assert_agreement(acme)


async def test_rows_replaced_and_restored_in_one_transaction_change_nothing(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support", "product"])
    before = await acme.ledger()
    async with operator_session(acme) as session:
        await session.execute(
            text(
                "WITH gone AS (DELETE FROM role_assignments WHERE user_id = :bob"
                " RETURNING organization_id, user_id)"
                " INSERT INTO role_assignments (organization_id, user_id, role)"
                " SELECT DISTINCT organization_id, user_id, 'developer' FROM gone"
            ),
            {"bob": bob},
        )
        await session.execute(
            text(
                "WITH gone AS (DELETE FROM role_assignments WHERE user_id = :bob"
                " RETURNING organization_id, user_id)"
                " INSERT INTO role_assignments (organization_id, user_id, role)"
                " SELECT organization_id, user_id, role FROM gone,"
                " unnest(ARRAY['support', 'product']) AS role"
            ),
            {"bob": bob},
        )
    assert await acme.ledger() == before
    await assert_agreement(acme)


async def test_a_row_moved_to_another_organization_is_in_both_ledgers(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme, globex) as session:
        await session.execute(
            text("UPDATE memberships SET organization_id = :globex WHERE user_id = :bob"),
            {"globex": globex.id, "bob": bob},
        )
    for organization, verb in ((acme, "DELETE"), (globex, "TOUCH")):
        assert (await organization.ledger())[-1] == [
            f"{verb} organization:{organization.id}#{relation}@user:{bob}"
            for relation in ("member", "support")
        ]
        await assert_agreement(organization)
    assert not await acme.deployment.check(acme.id, bob, "refunds_create")
    assert await globex.deployment.check(globex.id, bob, "refunds_create")


async def test_a_change_undone_in_the_same_transaction_is_in_no_ledger(
    acme: Organization, globex: Organization
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await acme.ledger(), await globex.ledger()
    async with operator_session(acme, globex) as session:
        for to in (globex.id, acme.id):
            await session.execute(
                text("UPDATE memberships SET organization_id = :to WHERE user_id = :bob"),
                {"to": to, "bob": bob},
            )
    assert (await acme.ledger(), await globex.ledger()) == before
    await assert_agreement(acme)
    await assert_agreement(globex)


async def test_an_organization_and_a_user_keep_their_ids(acme: Organization) -> None:
    for statement, refusal in (
        (f"UPDATE organizations SET id = 'other-{acme.id}' WHERE id = '{acme.id}'", "foreign key"),
        (
            f"UPDATE users SET id = 'other' WHERE id = '{acme.administrator.id}'",
            "permission denied",
        ),
    ):
        with pytest.raises(DBAPIError, match=refusal):
            async with operator_session(acme) as session:
                await session.execute(text(statement))
