"""Findings of foreign schemas, and the ZedTokens of recorded schemas."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the ZedToken of a schema, and let a foreign schema be a finding that stops changes."""
    op.add_column("schema_versions", sa.Column("zed_token", sa.Text(), nullable=True))
    op.execute("GRANT INSERT (zed_token) ON schema_versions TO teamaccess")
    op.drop_constraint(op.f("findings_resolved_by_check"), "findings")
    op.create_check_constraint(
        op.f("findings_resolved_by_check"),
        "findings",
        "(resolved_by IS NOT NULL) = (kind IN ('foreign_write', 'foreign_schema')"
        " AND resolved_at IS NOT NULL)",
    )
    op.create_index(
        "findings_foreign_schema_idx",
        "findings",
        ["kind"],
        postgresql_where="kind = 'foreign_schema' AND resolved_at IS NULL",
    )
