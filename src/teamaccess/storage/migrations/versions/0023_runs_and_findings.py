"""The rows of the watcher, the runs and the findings hold only values that their readers know."""

from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0023"
down_revision = "0021"

TIMES = {
    "engine_runs": ("begun_at", "ends_at", "over_at", "settled_at"),
    "schema_versions": ("applied_at",),
    "watch_cursor": ("saved_at",),
    "watched_writes": ("checked_at",),
    "findings": ("found_at", "resolved_at"),
    "reconciliations": ("checked_at", "asked_at"),
}
FIRST, END = "'1970-01-01T00:00:00Z'", "'10000-01-01T00:00:00Z'"
WORDS = {
    ("engine_runs", "kind"): (
        "rebuild",
        "close",
        "purge",
        "ahead",
        "renewal",
        "skip",
        "redelivery",
    ),
    ("engine_runs", "phase"): ("emptying", "filling"),
    ("findings", "kind"): (
        "drift",
        "foreign_write",
        "foreign_schema",
        "unwatched",
        "other_history",
    ),
}


def upgrade() -> None:
    """Remove rows that no reader understands, and refuse new ones."""
    run_script("0023_runs_and_findings.sql")
    for table, columns in TIMES.items():
        ranges = (f"{each} >= {FIRST} AND {each} < {END}" for each in columns)
        op.create_check_constraint(op.f(f"{table}_times_check"), table, " AND ".join(ranges))
    for (table, column), words in WORDS.items():
        listed = ", ".join(f"'{word}'" for word in words)
        op.create_check_constraint(
            op.f(f"{table}_{column}_known_check"), table, f"{column} IN ({listed})"
        )
