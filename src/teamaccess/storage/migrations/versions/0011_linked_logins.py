"""When a user's login was linked. That ends the user's earlier sessions."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the time. It is unknown for logins that are linked already."""
    op.add_column("users", sa.Column("linked_at", sa.DateTime(timezone=True), nullable=True))
    run_script("0011_linked_logins.sql")
