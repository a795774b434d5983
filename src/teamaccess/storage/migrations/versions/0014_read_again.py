"""Tokens shown before their time of issue, and a function that reads findings under the lock."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table, where the application notes tokens until they expire, and the function."""
    op.create_table(
        "early_tokens",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column(
            "first_shown_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("early_tokens_pkey")),
    )
    op.create_index("early_tokens_expires_at_idx", "early_tokens", ["expires_at"])
    op.execute("GRANT SELECT, INSERT (id, expires_at), DELETE ON early_tokens TO teamaccess")
    op.execute("GRANT UPDATE (expires_at) ON early_tokens TO teamaccess")  # to lock rows it deletes
    run_script("0014_read_again.sql")
