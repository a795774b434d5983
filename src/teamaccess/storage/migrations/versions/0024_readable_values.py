"""The application's role writes only values that readers can read, and that events name exactly."""

from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0024"
down_revision = "0023"

TIMES = {
    "access_requests": ("requested_at", "decided_at", "granted_until"),
    "activity": ("last_active_at",),
    "api_tokens": ("created_at", "expires_at", "last_used_at", "people_until", "revoked_at"),
    "auditors": ("granted_at", "expires_at"),
    "custom_roles": ("created_at",),
    "early_tokens": ("first_shown_at", "expires_at"),
    "grants": ("granted_at", "expires_at"),
    "idempotency_keys": ("created_at",),
    "invitation_deliveries": ("at",),
    "invitation_mails": ("sent_at",),
    "invitations": (
        "created_at",
        "sent_at",
        "expires_at",
        "accepted_at",
        "cancelled_at",
        "lapsed_at",
    ),
    "ledger_applications": ("due_at", "enforced_at"),
    "memberships": ("joined_at", "suspended_at", "expires_at"),
    "organizations": ("created_at", "deleted_at"),
    "resources": ("registered_at", "removed_at"),
    "role_assignments": ("granted_at", "expires_at"),
    "team_memberships": ("joined_at", "expires_at"),
    "team_roles": ("granted_at", "expires_at"),
    "teams": ("created_at",),
    "users": ("created_at", "tokens_valid_from", "linked_at", "profile_at"),
}
FIRST, END = "'1970-01-01T00:00:00Z'", "'10000-01-01T00:00:00Z'"
READABLE = (
    "octet_length(CAST({0} AS text)) <= 4194304"
    " AND NOT jsonb_path_exists({0}, 'strict $.**{{17 to last}}')"
    " AND NOT jsonb_path_exists({0}, 'strict $.** ? (@ > 1e18 || @ < -1e18)')"
)
SHAPES = {
    ("access_requests", "hours"): "hours > 0 AND hours <= 1000000",
    ("custom_roles", "selectors"): (
        "jsonb_typeof(selectors) = 'array'"
        " AND NOT jsonb_path_exists(selectors, 'strict $[*] ? (@.type() != \"object\")')"
        " AND NOT jsonb_path_exists(selectors, '$[*] ? "
        '(!(@.resource.type() == "string" && @.level.type() == "string"))\')'
        " AND NOT jsonb_path_exists(selectors, "
        '\'$[*].keyvalue().key ? (@ != "resource" && @ != "level")\')'
    ),
    ("idempotency_keys", "status_code"): "status_code = 0 OR status_code BETWEEN 200 AND 299",
    ("idempotency_keys", "body"): READABLE.format("body"),
    ("idempotency_keys", "positions"): (
        "jsonb_typeof(positions) = 'object'"
        " AND NOT jsonb_path_exists(positions, "
        "'$.* ? (@.type() != \"number\" || !(@ >= 0 && @ <= 9007199254740992 && @.floor() == @))')"
        " AND NOT jsonb_path_exists(positions, "
        "'$.keyvalue().key ? (!(@ like_regex \"^[a-z0-9-]+$\"))')"
    ),
    ("ledger_applications", "status"): "status IN ('pending', 'applied', 'refused', 'skipped')",
}
VALIDATE_EVENTS = """
DO $$ BEGIN
  ALTER TABLE events VALIDATE CONSTRAINT events_details_check;
EXCEPTION WHEN check_violation THEN
  RAISE NOTICE 'an older event has details that readers cannot read, and stays as it is';
END $$
"""


def upgrade() -> None:
    """Add the checks, and attest rows only by events that name their new values.

    The checks of a table are validated in one scan. The check of events stays unvalidated if an older
    event violates it, because events are never changed.
    """
    checks: dict[str, list[tuple[str, str]]] = {}
    for table, columns in TIMES.items():
        ranges = (f"{each} >= {FIRST} AND {each} < {END}" for each in columns)
        checks.setdefault(table, []).append(("times", " AND ".join(ranges)))
    for (table, column), condition in SHAPES.items():
        checks[table].append((column, condition))
    op.execute("ALTER TABLE access_requests DROP CONSTRAINT access_requests_hours_check")
    for table, conditions in checks.items():
        names = [f"{table}_{name}_check" for name, _ in conditions]
        added = ", ".join(
            f"ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
            for name, (_, condition) in zip(names, conditions, strict=True)
        )
        op.execute(f"ALTER TABLE {table} {added}")
        validated = ", ".join(f"VALIDATE CONSTRAINT {name}" for name in names)
        op.execute(f"ALTER TABLE {table} {validated}")
    op.execute(
        "ALTER TABLE events ADD CONSTRAINT events_details_check"
        f" CHECK (jsonb_typeof(details) = 'object' AND {READABLE.format('details')}) NOT VALID"
    )
    op.execute(VALIDATE_EVENTS)
    run_script("0024_readable_values.sql")
