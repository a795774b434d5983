"""Which schema was in force at which time, and the auditors of all organizations."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables, and let the application use them."""
    schema_versions()
    auditors()
    run_script("0006_schemas_and_auditors.sql")


def schema_versions() -> None:
    """Add the schemas that SpiceDB received."""
    op.create_table(
        "schema_versions",
        sa.Column(
            "applied_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("catalog_version", sa.Text(), nullable=False),
        sa.Column("catalog", sa.JSON(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("applied_at", name=op.f("schema_versions_pkey")),
    )


def auditors() -> None:
    """Add the auditors of all organizations."""
    op.create_table(
        "auditors",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("reason_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("auditors_user_id_fkey")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("auditors_pkey")),
    )
