"""When an early reconciliation of an organization was requested. One that is older does not count."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Replace the flag by the time of the request."""
    op.add_column(
        "reconciliations", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.execute("UPDATE reconciliations SET asked_at = clock_timestamp() WHERE asked_for")
    op.drop_column("reconciliations", "asked_for")
