"""Findings about times in which nobody watched SpiceDB's writes."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Keep when the watcher last saved its cursor, and let an operator resolve an unwatched time."""
    op.add_column(
        "watch_cursor",
        sa.Column("saved_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp()),
    )
    op.drop_constraint(op.f("findings_resolved_by_check"), "findings")
    op.create_check_constraint(
        op.f("findings_resolved_by_check"),
        "findings",
        "(resolved_by IS NOT NULL) = (kind IN ('foreign_write', 'foreign_schema', 'unwatched')"
        " AND resolved_at IS NOT NULL)",
    )
