"""Which organizations are being imported into SpiceDB, because Watch does not report who imports."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the transaction that imports an organization."""
    op.add_column("reconciliations", sa.Column("importing", sa.Text()))
