"""Runs that explain writes to SpiceDB, and attestations of rows in events."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables, and let the watcher begin now, because the earlier progress is unknown."""
    engine_runs()
    watched_ledgers()
    attested_rows()
    op.drop_column("reconciliations", "importing")
    op.execute("UPDATE watch_cursor SET zed_token = ''")
    run_script("0008_evidence.sql")


def engine_runs() -> None:
    """Add the runs that write to SpiceDB outside the normal order."""
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
    """Add the newest position of each ledger that Watch has reported."""
    op.create_table(
        "watched_ledgers",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("watched_ledgers_pkey")),
    )


def attested_rows() -> None:
    """Add the attestation of each row, which the newest event about it contains."""
    op.create_table(
        "attested_rows",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("attested_rows_pkey")),
    )
