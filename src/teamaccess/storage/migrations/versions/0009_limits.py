"""The founder of an organization, and the indexes of limits."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MAILBOX = (
    r"regexp_replace(regexp_replace(regexp_replace(email, '^([^+@]+)[+][^@]*@', '\1@'),"
    r" '[.](?=[^@]*@(gmail|googlemail)[.]com$)', '', 'g'), '@googlemail[.]com$', '@gmail.com')"
)
FOUNDED = """
UPDATE organizations SET founded_by = users.id
FROM events JOIN users ON events.actor = 'user:' || users.id
WHERE events.chain = organizations.id AND events.kind = 'organization_created'
"""


def upgrade() -> None:
    """Add the founder, taken from the events for existing organizations, and the indexes."""
    op.add_column("organizations", sa.Column("founded_by", sa.Text(), nullable=True))
    op.execute(FOUNDED)
    op.create_index(
        "organizations_founded_by_idx",
        "organizations",
        ["founded_by", "created_at"],
        postgresql_where="founded_by IS NOT NULL",
    )
    op.drop_index("invitations_email_sent_at_idx", "invitations")
    op.create_index(
        "invitations_mailbox_idx",
        "invitations",
        ["organization_id", sa.text(f"({MAILBOX})"), "sent_at"],
    )
    op.create_index("invitations_invited_by_idx", "invitations", ["invited_by", "sent_at"])
    op.create_index(
        "users_mailbox_idx",
        "users",
        [sa.text(f"({MAILBOX})")],
        postgresql_where="email ~ '[+]|@(gmail|googlemail)[.]com$'",
    )
    op.create_index(
        "resources_present_idx",
        "resources",
        ["organization_id"],
        postgresql_where="removed_at IS NULL",
    )
