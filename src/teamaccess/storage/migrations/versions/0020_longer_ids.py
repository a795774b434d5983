"""Ids of users, teams, objects, invitations, requests and tokens have up to 128 characters."""

from alembic import op

revision = "0020"
down_revision = "0013"

COLUMNS = (
    ("users", "id"),
    ("invitations", "id"),
    ("teams", "id"),
    ("resources", "id"),
    ("grants", "holder"),
    ("access_requests", "id"),
    ("api_tokens", "id"),
)


def upgrade() -> None:
    """Widen the check of each column. Every id that was valid stays valid."""
    for table, column in COLUMNS:
        name = f"{table}_{column}_check"
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT {name}"
            f" CHECK ({column} ~ '^[A-Za-z0-9_-]{{1,128}}$')"
        )
