"""Findings about times in which nobody watched SpiceDB's writes, and the writes that were checked."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Keep when the watcher last saved its cursor and what it checked last.

    Let an operator resolve an unwatched time.
    """
    op.create_table(
        "watched_writes",
        sa.Column("zed_token", sa.Text(), nullable=False),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.clock_timestamp(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("zed_token", name=op.f("watched_writes_pkey")),
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON watched_writes TO teamaccess")
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
