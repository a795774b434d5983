"""The service account that sent an invitation. Its rights are checked again at the acceptance."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the account, and count an invitation for its sender."""
    op.add_column("invitations", sa.Column("invited_via", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("invitations_invited_via_fkey"), "invitations", "users", ["invited_via"], ["id"]
    )
    op.drop_index("invitations_invited_by_idx", "invitations")
    op.create_index(
        "invitations_inviter_idx",
        "invitations",
        [sa.text("(coalesce(invited_via, invited_by))"), "sent_at"],
    )
    run_script("0012_invited_via.sql")
