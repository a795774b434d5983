"""Triggers, privileges and owners, read from PostgreSQL's own catalog."""

from typing import Any

import pytest

from teamaccess.storage import RelationshipSource
from tests.support.database_connections import Connection

TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgenabled = 'O' AND p.proname = $1
AND t.tgtype = $2 AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
AFTER_STATEMENT = (4, 8, 16)
"""FOR EACH STATEMENT, not BEFORE, on INSERT, DELETE and UPDATE."""
BEFORE_TRUNCATE = 2 | 32

TABLE_RIGHTS = """
SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type)
FROM information_schema.role_table_grants
WHERE grantee IN ('teamaccess', 'PUBLIC') AND table_schema = 'public' GROUP BY 1
"""
COLUMN_RIGHTS = """
SELECT table_name || ' ' || privilege_type, array_agg(column_name::text ORDER BY column_name)
FROM information_schema.role_column_grants g
WHERE grantee IN ('teamaccess', 'PUBLIC') AND table_schema = 'public' AND NOT EXISTS (
  SELECT FROM information_schema.role_table_grants t WHERE t.grantee = g.grantee
  AND t.table_name = g.table_name AND t.privilege_type = g.privilege_type)
GROUP BY 1
"""
POWERFUL = """
SELECT rolname FROM pg_roles WHERE rolname IN ('teamaccess', 'teamaccess_owner')
AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)
"""
INSERTED_ENTRY = "actor catalog_version channel organization_id reason_hash request_id updates"
INSERTED_EVENT = "actor chain channel details kind reason_hash request_id subject"
EVERYTHING = "DELETE INSERT SELECT UPDATE"


async def test_every_table_with_relationships_notes_every_change(
    superuser_connection: Connection,
) -> None:
    sources = sorted(RelationshipSource.tables())
    for event in AFTER_STATEMENT:
        noted = await superuser_connection.fetch(TRIGGERS, "ledger_note", event)
        assert [row["relname"] for row in noted] == sources
    kept = await superuser_connection.fetch(TRIGGERS, "refuse", BEFORE_TRUNCATE)
    assert {row["relname"] for row in kept} == {*sources, "ledger", "events"}


async def test_the_application_has_exactly_these_privileges_on_tables(
    superuser_connection: Connection,
) -> None:
    assert await _pairs(superuser_connection, TABLE_RIGHTS) == {
        "users": "INSERT SELECT",
        "organizations": "INSERT SELECT UPDATE",
        "memberships": EVERYTHING,
        "role_assignments": EVERYTHING,
        "invitations": EVERYTHING,
        "invitation_roles": EVERYTHING,
        "invitation_mails": "DELETE INSERT SELECT",
        "invitation_deliveries": EVERYTHING,
        "custom_roles": EVERYTHING,
        "custom_role_actions": EVERYTHING,
        "teams": EVERYTHING,
        "team_memberships": EVERYTHING,
        "team_roles": EVERYTHING,
        "resources": "INSERT SELECT UPDATE",
        "grants": EVERYTHING,
        "access_requests": "INSERT SELECT UPDATE",
        "api_tokens": "INSERT SELECT",
        "activity": EVERYTHING,
        "idempotency_keys": EVERYTHING,
        "reasons": EVERYTHING,
        "ledger": "SELECT",
        "ledger_heads": "SELECT",
        "ledger_applications": "SELECT",
        "events": "SELECT",
        "event_heads": "SELECT",
        "reconciliations": "INSERT SELECT UPDATE",
        "watch_cursor": "INSERT SELECT UPDATE",
        "findings": "SELECT",
        "schema_versions": "SELECT",
        "auditors": EVERYTHING,
        "attested_rows": "SELECT",
        "engine_runs": "SELECT",
        "watched_ledgers": "INSERT SELECT",
        "watched_writes": "DELETE INSERT SELECT",
        "early_tokens": "DELETE SELECT",
    }


async def test_the_application_has_exactly_these_privileges_on_columns(
    superuser_connection: Connection,
) -> None:
    assert await _pairs(superuser_connection, COLUMN_RIGHTS) == {
        "ledger INSERT": INSERTED_ENTRY.split(),
        "ledger_applications UPDATE": [
            "attempts",
            "due_at",
            "enforced_at",
            "refusal",
            "status",
            "zed_token",
        ],
        "findings INSERT": ["details", "fingerprint", "kind", "organization_id"],
        "findings UPDATE": ["resolved_at", "resolved_by"],
        "events INSERT": INSERTED_EVENT.split(),
        "users UPDATE": [
            "email",
            "external_id",
            "issuer",
            "linked_at",
            "name",
            "profile_at",
            "subject",
            "tokens_valid_from",
        ],
        "api_tokens UPDATE": ["expires_at", "last_used_at", "revoked_at"],
        "engine_runs INSERT": [
            "kind",
            "organization_id",
            "phase",
            "position",
            "request_id",
            "transaction",
        ],
        "engine_runs UPDATE": ["over_at", "phase", "settled_at"],
        "watched_ledgers UPDATE": ["position"],
        "early_tokens INSERT": ["expires_at", "id"],
        "early_tokens UPDATE": ["expires_at"],
        "schema_versions INSERT": [
            "applied_by",
            "catalog",
            "catalog_version",
            "schema",
            "zed_token",
        ],
    }


async def test_the_application_may_call_five_functions(superuser_connection: Connection) -> None:
    callable_ones = await superuser_connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND has_function_privilege('teamaccess', oid, 'EXECUTE') ORDER BY 1"
    )
    assert [row["proname"] for row in callable_ones] == [
        "attestable_rows",
        "foreign_schema_found",
        "invitation_attested",
        "ledger_drain",
        "ledger_lock",
    ]


@pytest.mark.parametrize(
    "owned",
    [
        "SELECT relname FROM pg_class WHERE relowner = 'teamaccess'::regrole",
        "SELECT proname FROM pg_proc WHERE proowner = 'teamaccess'::regrole",
        "SELECT nspname FROM pg_namespace WHERE nspowner = 'teamaccess'::regrole",
        "SELECT datname FROM pg_database WHERE datdba = 'teamaccess'::regrole",
        "SELECT * FROM pg_auth_members WHERE member = 'teamaccess'::regrole",
        POWERFUL,
    ],
)
async def test_the_application_owns_nothing_and_nobody_is_a_superuser(
    superuser_connection: Connection, owned: str
) -> None:
    assert await superuser_connection.fetch(owned) == []


async def test_security_definer_functions_use_a_search_path_that_only_the_owner_writes(
    superuser_connection: Connection,
) -> None:
    paths = await superuser_connection.fetch(
        "SELECT DISTINCT proconfig FROM pg_proc WHERE prosecdef"
        " AND pronamespace = 'public'::regnamespace"
    )
    assert [row["proconfig"] for row in paths] == [["search_path=public, pg_temp"]]


async def _pairs(connection: Connection, question: str) -> dict[str, Any]:
    return {key: value for key, value in await connection.fetch(question)}  # noqa: C416 - records
