"""What explains a write to SpiceDB is in our database, and what changes a row is in the events."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables, and begin to watch at the present: what was seen before is not known."""
    engine_runs()
    watched_ledgers()
    attested_rows()
    op.drop_column("reconciliations", "importing")
    op.execute("UPDATE watch_cursor SET zed_token = ''")
    run_script("0008_evidence.sql")


def engine_runs() -> None:
    """What may be written to SpiceDB beside the positions of the ledgers."""
    op.create_table(
        "engine_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("transaction", sa.Text(), nullable=True),
        sa.Column("phase", sa.Text(), server_default="emptying", nullable=False),
        sa.Column(
            "begun_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "ends_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("(clock_timestamp() + '1 day'::interval)"),
            nullable=False,
        ),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("engine_runs_pkey")),
    )
    op.create_index(
        "engine_runs_open_idx",
        "engine_runs",
        ["organization_id"],
        postgresql_where="settled_at IS NULL",
    )


def watched_ledgers() -> None:
    """How far each ledger was seen to arrive."""
    op.create_table(
        "watched_ledgers",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("watched_ledgers_pkey")),
    )


def attested_rows() -> None:
    """What the newest event about each row said that it is."""
    op.create_table(
        "attested_rows",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("attested_rows_pkey")),
    )
