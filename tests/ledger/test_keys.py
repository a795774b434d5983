"""Rows whose keys change stand for other relationships than before, perhaps another tenant's."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.support.sides import agreed, changing, seat
from tests.support.world import Team

MOVE_SEAT = text("UPDATE memberships SET user_id = :to WHERE user_id = :bob")


async def test_a_seat_given_to_somebody_else_takes_everything_from_the_first(
    acme: Team, globex: Team
) -> None:
    [bob] = await seat(acme, bob=["product", "support"])
    [eve] = await seat(globex, eve=[])
    async with changing(acme) as session:
        await session.execute(MOVE_SEAT, {"bob": bob, "to": eve})
    assert (await acme.ledger())[-1] == [
        f"{verb} organization:{acme.id}#{relation}@user:{user}"
        for verb, user in (("DELETE", bob), ("TOUCH", eve))
        for relation in ("member", "product", "support")
    ]
    await agreed(acme)
    assert not await acme.world.check(acme.id, bob, "membership")
    assert await acme.world.check(acme.id, eve, "refunds_create")


async def test_two_rows_cannot_swap_their_keys_in_one_statement(acme: Team) -> None:
    bob, eve = await seat(acme, bob=["support"], eve=["product"])
    before = await acme.ledger()
    with pytest.raises(IntegrityError, match="memberships_pkey"):
        async with changing(acme) as session:
            await session.execute(
                text(
                    "UPDATE memberships SET user_id = CASE user_id WHEN :bob THEN :eve ELSE :bob END"
                    " WHERE user_id IN (:bob, :eve)"
                ),
                {"bob": bob, "eve": eve},
            )
    assert await acme.ledger() == before
    await agreed(acme)


async def test_two_rows_that_swap_their_keys_by_way_of_a_third_swap_what_they_mean(
    acme: Team, globex: Team
) -> None:
    bob, eve = await seat(acme, bob=["support"], eve=["product"])
    [spare] = await seat(globex, spare=[])
    async with changing(acme) as session:
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
    await agreed(acme)


async def test_two_rows_swap_their_roles_in_one_statement_without_losing_any(acme: Team) -> None:
    [bob] = await seat(acme, bob=["support", "product"])
    before = await acme.ledger()
    async with changing(acme) as session:
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
    await agreed(acme)


async def test_a_row_moved_to_another_organization_is_told_in_both(
    acme: Team, globex: Team
) -> None:
    [bob] = await seat(acme, bob=["support"])
    async with changing(acme, globex) as session:
        await session.execute(
            text("UPDATE memberships SET organization_id = :globex WHERE user_id = :bob"),
            {"globex": globex.id, "bob": bob},
        )
    for team, verb in ((acme, "DELETE"), (globex, "TOUCH")):
        assert (await team.ledger())[-1] == [
            f"{verb} organization:{team.id}#{relation}@user:{bob}"
            for relation in ("member", "support")
        ]
        await agreed(team)
    assert not await acme.world.check(acme.id, bob, "refunds_create")
    assert await globex.world.check(globex.id, bob, "refunds_create")


async def test_there_and_back_in_one_transaction_is_no_change_anywhere(
    acme: Team, globex: Team
) -> None:
    [bob] = await seat(acme, bob=["support"])
    before = await acme.ledger(), await globex.ledger()
    async with changing(acme, globex) as session:
        for to in (globex.id, acme.id):
            await session.execute(
                text("UPDATE memberships SET organization_id = :to WHERE user_id = :bob"),
                {"to": to, "bob": bob},
            )
    assert (await acme.ledger(), await globex.ledger()) == before
    await agreed(acme)
    await agreed(globex)


async def test_an_organization_and_a_user_keep_their_ids(acme: Team) -> None:
    for statement, refusal in (
        (f"UPDATE organizations SET id = 'other-{acme.id}' WHERE id = '{acme.id}'", "foreign key"),
        (
            f"UPDATE users SET id = 'other' WHERE id = '{acme.administrator.id}'",
            "permission denied",
        ),
    ):
        with pytest.raises(DBAPIError, match=refusal):
            async with changing(acme) as session:
                await session.execute(text(statement))
