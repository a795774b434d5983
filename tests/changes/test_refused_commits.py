"""Rows that SpiceDB could not store are refused before the commit, and nothing of them is
committed.
"""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from teamaccess.ledger.errors import OverlappingRows, SchemaViolation
from teamaccess.ledger.session import Note, net_updates
from tests.support.agreement import assert_agreement, operator_session
from tests.support.organization import Organization

ROW = {"organization_id": "acme", "user_id": "bob", "suspended_at": None, "expires_at": None}
GIVE = "INSERT INTO role_assignments (organization_id, user_id, role) VALUES (:acme, :bob, :role)"


@pytest.mark.parametrize("role", ["treasurer", "granted_webhooks_create", "membership", "applied"])
async def test_a_role_without_a_relation_in_the_schema_is_not_committed(
    acme: Organization, role: str
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await assert_agreement(acme)
    with pytest.raises(SchemaViolation, match=f"#{role}@user:{bob}"):
        async with operator_session(acme) as session:
            await session.execute(
                text(f"{GIVE}, (:acme, :bob, 'product')"),
                {"acme": acme.id, "bob": bob, "role": role},
            )
    assert await assert_agreement(acme) == before


async def test_a_role_named_like_the_membership_is_refused(acme: Organization) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await assert_agreement(acme)
    with pytest.raises(IntegrityError, match="role_assignments_role_check"):
        async with operator_session(acme) as session:
            await session.execute(text(GIVE), {"acme": acme.id, "bob": bob, "role": "member"})
    assert await assert_agreement(acme) == before


@pytest.mark.parametrize(
    "end", ["infinity", "-infinity", "10000-01-01T00:00:00Z", "0044-03-15T00:00:00Z BC"]
)
async def test_an_expiry_that_spicedb_cannot_store_is_not_committed(
    acme: Organization, end: str
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await assert_agreement(acme)
    with pytest.raises(IntegrityError, match="role_assignments_expires_at_check"):
        async with operator_session(acme) as session:
            await session.execute(
                text(f"UPDATE role_assignments SET expires_at = '{end}' WHERE user_id = '{bob}'")
            )
    assert await assert_agreement(acme) == before


async def test_ids_that_would_change_a_relationships_meaning_are_refused_by_the_database(
    acme: Organization,
) -> None:
    for statement in (
        "INSERT INTO users (id, email) VALUES ('a:b', 'x')",
        "INSERT INTO users (id, email) VALUES ('a#b', 'x')",
        "INSERT INTO users (id, email) VALUES ('*', 'x')",
        "INSERT INTO users (id, email) VALUES ('', 'x')",
        "INSERT INTO users (id, email) VALUES ('a' || chr(10), 'x')",
        "INSERT INTO organizations (id, name) VALUES ('acme/b', 'x')",
        "INSERT INTO organizations (id, name) VALUES ('acme' || chr(10), 'x')",
        "INSERT INTO organizations (id, name) VALUES ('-', 'x')",
    ):
        with pytest.raises(IntegrityError, match="_id_check"):
            async with operator_session(acme) as session:
                await session.execute(text(statement))


def test_two_rows_for_one_relationship_are_refused() -> None:
    notes = [Note("memberships", [], [ROW]), Note("memberships", [], [ROW])]
    with pytest.raises(OverlappingRows, match="2 rows stand for organization:acme#member@user:bob"):
        net_updates(notes)


def test_two_rows_for_one_relationship_with_different_expiries_are_refused() -> None:
    role = {"organization_id": "acme", "user_id": "bob", "role": "support", "custom": False}
    notes = [
        Note("role_assignments", [], [role | {"expires_at": None}]),
        Note("role_assignments", [], [role | {"expires_at": "2030-01-01T00:00:00+00:00"}]),
    ]
    with pytest.raises(OverlappingRows):
        net_updates(notes)


def test_row_images_in_any_time_zone_are_the_same_instant() -> None:
    role = {"organization_id": "acme", "user_id": "bob", "role": "support", "custom": False}
    notes = [
        Note("role_assignments", [], [role | {"expires_at": "2030-01-01T05:30:00.5+05:30"}]),
        Note("role_assignments", [role | {"expires_at": "2030-01-01T00:00:00.500000+00:00"}], []),
    ]
    assert net_updates(notes) == {}
