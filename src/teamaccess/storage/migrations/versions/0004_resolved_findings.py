"""Who resolved a finding. A finding about one tenant no longer contains data of another."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add who resolved a finding, and limit which columns of a finding the application may write."""
    op.add_column("findings", sa.Column("resolved_by", sa.Text()))
    op.alter_column("findings", "organization_id", nullable=False)
    op.create_check_constraint(
        op.f("findings_resolved_by_check"),
        "findings",
        "(resolved_by IS NOT NULL) = (kind = 'foreign_write' AND resolved_at IS NOT NULL)",
    )
    run_script("0004_resolved_findings.sql")
