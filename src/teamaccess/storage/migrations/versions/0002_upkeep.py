"""What recovery from faults needs: due times of deliveries, memberships with an end, and findings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from teamaccess.storage.migrations import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns and tables, and let `ledger_lock` return more."""
    memberships()
    notes()
    applications()
    findings()
    run_script("0002_upkeep.sql")


def memberships() -> None:
    """Let a membership have an end."""
    op.add_column("memberships", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.create_check_constraint(
        op.f("memberships_expires_at_check"),
        "memberships",
        "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
    )
    op.create_index(
        "memberships_expires_at_idx",
        "memberships",
        ["expires_at"],
        postgresql_where="expires_at IS NOT NULL",
    )


def notes() -> None:
    """Let a note contain the images of all rows of a statement."""
    for images in ("before", "after"):
        op.alter_column("ledger_notes", images, nullable=False)


def applications() -> None:
    """Add the time from which a worker may claim an entry."""
    op.add_column(
        "ledger_applications",
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("(clock_timestamp() + '00:00:03'::interval)"),
            nullable=False,
        ),
    )
    op.drop_index("ledger_applications_open_idx", "ledger_applications")
    op.create_index(
        "ledger_applications_open_idx",
        "ledger_applications",
        ["organization_id", "position"],
        postgresql_where="status NOT IN ('applied', 'skipped')",
    )
    op.create_index(
        "ledger_applications_due_idx",
        "ledger_applications",
        ["due_at"],
        postgresql_where="status = 'pending'",
    )


def findings() -> None:
    """Add findings, reconciliations and the position of the watcher."""
    op.create_table(
        "findings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("findings_pkey")),
        sa.UniqueConstraint("fingerprint", name=op.f("findings_fingerprint_key")),
    )
    op.create_index(
        "findings_open_idx", "findings", ["found_at"], postgresql_where="resolved_at IS NULL"
    )
    op.create_table(
        "reconciliations",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("asked_for", sa.Boolean(), server_default="false", nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("reconciliations_organization_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("reconciliations_pkey")),
    )
    op.create_table(
        "watch_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, server_default="1", nullable=False),
        sa.Column("zed_token", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("watch_cursor_single_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("watch_cursor_pkey")),
    )
