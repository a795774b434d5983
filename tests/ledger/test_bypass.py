"""Sessions that bypass the application cannot commit a change of access."""

import pytest
from asyncpg import InsufficientPrivilegeError, IntegrityConstraintViolationError, PostgresError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger.errors import UnattributedChange
from teamaccess.storage import UserId
from tests.support.agreement import assert_agreement, operator_session
from tests.support.database_connections import Connection, run_transaction
from tests.support.organization import Organization

REFUSED = "would not reach the ledger"
GIVE = (
    "INSERT INTO role_assignments (organization_id, user_id, role) VALUES ('{}', '{}', 'product')"
)
TAKE = "DELETE FROM role_assignments WHERE organization_id = '{}' AND user_id = '{}'"
INVITE = """
INSERT INTO invitations (organization_id, id, email, invitee, token_hash, invited_by, sent_at,
  times_sent, expires_at)
VALUES ('{}', 'inv', 'eve@example.com', repeat('0', 64), 'hash', '{}', now(), 1, now() + '1 day')
"""
MERGE = """
MERGE INTO role_assignments USING (VALUES ('{}', '{}')) AS wanted (o, u)
ON organization_id = o AND user_id = u WHEN MATCHED THEN UPDATE SET role = 'developer'
"""
UPSERT = f"""
{GIVE.replace("product", "support")}
ON CONFLICT (organization_id, user_id, role) DO UPDATE SET expires_at = now() + '1 day'
"""


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("role_assignments", GIVE),
        ("role_assignments", TAKE),
        ("role_assignments", MERGE),
        ("role_assignments", UPSERT),
        ("memberships", TAKE.replace("role_assignments", "memberships")),
        ("memberships", "UPDATE memberships SET suspended_at = now() WHERE '{1}' = user_id"),
        ("memberships", "UPDATE memberships SET user_id = 'x' WHERE '{1}' = user_id"),
        ("invitations", INVITE),
    ],
)
async def test_a_session_without_the_application_cannot_commit(
    acme: Organization, application_connection: Connection, table: str, statement: str
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await application_connection.execute(
        "INSERT INTO users (id, email) VALUES ('x', 'x') ON CONFLICT DO NOTHING"
    )
    before = await assert_agreement(acme)
    with pytest.raises(IntegrityConstraintViolationError, match=f"a change to {table} {REFUSED}"):
        await application_connection.execute(statement.format(acme.id, bob))
    assert await assert_agreement(acme) == before


@pytest.mark.parametrize(
    "constraints", ["ALL IMMEDIATE", "ALL DEFERRED", "ledger_note_left_behind DEFERRED"]
)
async def test_no_setting_of_constraints_allows_a_bypass(
    acme: Organization, application_connection: Connection, constraints: str
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    with pytest.raises(IntegrityConstraintViolationError, match=REFUSED):
        await run_transaction(
            application_connection, f"SET CONSTRAINTS {constraints}", GIVE.format(acme.id, bob)
        )
    await assert_agreement(acme)


async def test_a_transaction_cannot_be_prepared_to_be_committed_later(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    with pytest.raises(PostgresError):
        await run_transaction(
            application_connection, GIVE.format(acme.id, bob), "PREPARE TRANSACTION 'later'"
        )
    await assert_agreement(acme)


async def test_a_savepoint_hides_nothing(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    with pytest.raises(IntegrityConstraintViolationError, match=REFUSED):
        await run_transaction(
            application_connection,
            "SAVEPOINT hidden",
            GIVE.format(acme.id, bob),
            "RELEASE SAVEPOINT hidden",
        )
    await assert_agreement(acme)


async def test_changes_rolled_back_to_a_savepoint_do_not_prevent_the_commit(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    await run_transaction(
        application_connection,
        "SAVEPOINT tried",
        GIVE.format(acme.id, bob),
        "ROLLBACK TO SAVEPOINT tried",
    )
    await assert_agreement(acme)


async def test_read_sessions_cannot_change_relationships(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with acme.deployment.service.reads() as session:
        with pytest.raises(IntegrityError, match=REFUSED):
            await _take(session, acme, bob)
    await assert_agreement(acme)


async def test_a_session_in_autocommit_changes_nothing(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with acme.deployment.service.sessions() as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        with pytest.raises(IntegrityError, match=REFUSED):
            await _take(session, acme, bob)
    await assert_agreement(acme)


async def test_a_session_without_an_attribution_changes_nothing(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with acme.deployment.service.sessions() as session:
        await _take(session, acme, bob)
        with pytest.raises(UnattributedChange, match=f"DELETE organization:{acme.id}#support"):
            await session.commit()
    await assert_agreement(acme)


async def test_a_refused_session_can_be_used_again(
    acme: Organization,
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with acme.deployment.service.sessions() as session:
        await _take(session, acme, bob)
        with pytest.raises(UnattributedChange):
            await session.commit()
        await session.rollback()
        await session.execute(text("UPDATE users SET name = 'Bob' WHERE id = :bob"), {"bob": bob})
        await session.commit()
        name = text("SELECT name FROM users WHERE id = :bob")
        assert await session.scalar(name, {"bob": bob}) == "Bob"
    await assert_agreement(acme)


async def test_a_transaction_cannot_take_the_notes_of_another(
    acme: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    async with operator_session(acme) as session:
        await _take(session, acme, bob)
        assert await application_connection.fetch("SELECT * FROM ledger_drain()") == []
        with pytest.raises(InsufficientPrivilegeError):
            await application_connection.execute("DELETE FROM ledger_notes")
    assert (await acme.ledger())[-1] == [f"DELETE organization:{acme.id}#support@user:{bob}"]
    await assert_agreement(acme)


async def _take(session: AsyncSession, organization: Organization, user: UserId) -> None:
    await session.execute(text(TAKE.format(organization.id, user)))
