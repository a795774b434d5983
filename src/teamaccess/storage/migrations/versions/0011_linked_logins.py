"""When a user's login was linked: it ends the sessions that the user had before."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Keep the time; nobody knows it of logins that are linked already."""
    op.add_column("users", sa.Column("linked_at", sa.DateTime(timezone=True), nullable=True))
    run_script("0011_linked_logins.sql")
