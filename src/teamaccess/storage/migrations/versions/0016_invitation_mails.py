"""The mails that limits count, and what became of the newest mail of each invitation."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

COUNTED = r"""
INSERT INTO invitation_mails (organization_id, mailbox, sent_by, sent_at)
SELECT organization_id,
       lower(regexp_replace(regexp_replace(regexp_replace(email, '^([^+@]+)[+][^@]*@', '\1@'),
         '[.](?=[^@]*@(gmail|googlemail)[.]com$)', '', 'g'), '@googlemail[.]com$', '@gmail.com')),
       coalesce(invited_via, invited_by), sent_at
FROM invitations CROSS JOIN LATERAL generate_series(1, times_sent)
WHERE sent_at > now() - interval '1 day'
"""
"""Counts each mail of an invitation that was last sent within a day. It is not known when the earlier
ones were sent."""
GRANTS = (
    "GRANT SELECT, INSERT, DELETE ON invitation_mails TO teamaccess",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON invitation_deliveries TO teamaccess",
)


def upgrade() -> None:
    """Add both tables, and count the mails of the last day."""
    op.create_table(
        "invitation_mails",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("sent_by", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
    )
    for name, columns in (
        ("organization", ["organization_id", "sent_at"]),
        ("mailbox", ["organization_id", "mailbox", "sent_at"]),
        ("sender", ["sent_by", "sent_at"]),
        ("sent_at", ["sent_at"]),
    ):
        op.create_index(f"invitation_mails_{name}_idx", "invitation_mails", columns)
    op.create_table(
        "invitation_deliveries",
        sa.Column("organization_id", sa.Text(), primary_key=True),
        sa.Column("invitation_id", sa.Text(), primary_key=True),
        sa.Column("mail_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "invitation_id"],
            ["invitations.organization_id", "invitations.id"],
            name=op.f("invitation_deliveries_organization_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'sent', 'file', 'off', 'failed')",
            name=op.f("invitation_deliveries_status_check"),
        ),
    )
    op.execute(COUNTED)
    for index in ("mailbox", "inviter", "organization_id_sent_at"):
        op.drop_index(f"invitations_{index}_idx", "invitations")
    for grant in GRANTS:
        op.execute(grant)
