"""The people behind each API token, so that a token made with a token counts for the same people."""

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the people and the end of their access, and attest both. Earlier tokens keep their proofs."""
    op.add_column("api_tokens", sa.Column("people", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column(
        "api_tokens", sa.Column("people_until", sa.DateTime(timezone=True), nullable=True)
    )
    run_script("0021_people_behind_tokens.sql")
