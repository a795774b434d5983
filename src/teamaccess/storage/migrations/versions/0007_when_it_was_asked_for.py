"""Since when an organization is to be compared before others: an older comparison is no answer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Keep the time, where there was only a mark."""
    op.add_column(
        "reconciliations", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.execute("UPDATE reconciliations SET asked_at = clock_timestamp() WHERE asked_for")
    op.drop_column("reconciliations", "asked_for")
