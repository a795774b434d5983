"""A user's address and name follow the login, and addresses are stored in lower case."""

import unicodedata

import sqlalchemy as sa
from alembic import op

from teamaccess.storage.migrations import run_script

revision = "0015"
down_revision = "0014"

STORED = sa.text("SELECT id, email FROM users WHERE email ~ '[^ -~]' ORDER BY created_at, id")
LOWER = sa.text(
    "UPDATE users SET email = :email WHERE id = :id"
    " AND NOT EXISTS (SELECT FROM users WHERE email = :email)"
)


def upgrade() -> None:
    """Add the time of the newest profile, and store addresses in lower case."""
    op.add_column("users", sa.Column("profile_at", sa.DateTime(timezone=True), nullable=True))
    lower_addresses()
    run_script("0015_profiles.sql")


def lower_addresses() -> None:
    """Store non-ASCII addresses in NFC and in lower case.

    Of two users whose addresses are the same then, the older one gets it. The other one keeps theirs.
    """
    connection = op.get_bind()
    for id, email in connection.execute(STORED).all():
        local, _, domain = email.rpartition("@")
        local = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())
        if (lower := f"{local}@{domain}") != email:
            connection.execute(LOWER, {"id": id, "email": lower})
