"""Work that is rolled back leaves nothing, not even in the ledger."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import RoleAssignment, RoleId, UserId
from tests.support.agreement import assert_agreement, ledger_entries, operator_session
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization


async def test_a_transaction_rolled_back_leaves_nothing(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await ledger_entries(acme)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what fails is in the middle of it
        async with operator_session(acme) as session:
            await _give(session, acme, bob, "developer")
            raise ZeroDivisionError
    assert [entry.hash for entry in await ledger_entries(acme)] == [entry.hash for entry in before]
    await assert_agreement(acme)


async def test_a_change_left_without_a_commit_leaves_nothing(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await acme.ledger()
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        await _give(change.session, acme, bob, "developer")
    assert await acme.ledger() == before
    await assert_agreement(acme)


async def test_a_savepoint_rolled_back_leaves_nothing_of_its_own(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await _give(session, acme, bob, "product")
        savepoint = await session.begin_nested()
        await _give(session, acme, bob, "developer")
        await savepoint.rollback()
        await _give(session, acme, bob, "operations")
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#operations@user:{bob}",
        f"TOUCH organization:{acme.id}#product@user:{bob}",
    ]
    await assert_agreement(acme)


async def test_nested_savepoints_keep_what_was_released(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        async with session.begin_nested():
            await _give(session, acme, bob, "product")
            inner = await session.begin_nested()
            await _give(session, acme, bob, "developer")
            async with session.begin_nested():
                await _give(session, acme, bob, "operations")
            await inner.rollback()
        await session.execute(
            text("DELETE FROM role_assignments WHERE user_id = :bob AND role = 'support'"),
            {"bob": bob},
        )
    assert (await acme.ledger())[-1] == [
        f"DELETE organization:{acme.id}#support@user:{bob}",
        f"TOUCH organization:{acme.id}#product@user:{bob}",
    ]
    await assert_agreement(acme)


async def test_a_commit_inside_an_open_savepoint_commits_everything_with_its_entry(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        await change.session.begin_nested()
        await _give(change.session, acme, bob, "product")
        receipts = await acme.deployment.service.ledger.commit(change)
    assert [receipt.pending for receipt in receipts] == [False]
    assert (await acme.ledger())[-1] == [f"TOUCH organization:{acme.id}#product@user:{bob}"]
    await assert_agreement(acme)


async def test_a_change_that_was_rolled_back_never_reaches_spicedb(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await acme.ledger()
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        await _give(change.session, acme, bob, "operations")
        assert await change.decide() == {acme.id: len(before) + 1}
        await change.session.rollback()
        await _give(change.session, acme, bob, "product")
        await acme.deployment.service.ledger.commit(change)
    assert (await acme.ledger())[len(before) :] == [
        [f"TOUCH organization:{acme.id}#product@user:{bob}"]
    ]
    await assert_agreement(acme)


async def test_a_change_committed_in_two_steps_has_two_positions_in_order(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = len(await acme.ledger())
    async with operator_session(acme) as session:
        await _give(session, acme, bob, "operations")
        async with session.begin_nested():
            await _give(session, acme, bob, "developer")
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        await _give(change.session, acme, bob, "product")
        assert await change.decide() == {acme.id: before + 2}
        await change.session.execute(
            text("DELETE FROM role_assignments WHERE user_id = :bob AND role = 'product'"),
            {"bob": bob},
        )
        [receipt] = await acme.deployment.service.ledger.commit(change)
    assert receipt.position == before + 3
    assert (await acme.ledger())[-2:] == [
        [f"TOUCH organization:{acme.id}#product@user:{bob}"],
        [f"DELETE organization:{acme.id}#product@user:{bob}"],
    ]
    await assert_agreement(acme)


async def _give(session: AsyncSession, organization: Organization, user: UserId, role: str) -> None:
    session.add(RoleAssignment(organization_id=organization.id, user_id=user, role=RoleId(role)))
    await session.flush()
