"""The first tables: users, organizations, members, roles, invitations, the ledger and the events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from teamaccess.storage.migrations import run_script
from teamaccess.storage.records.ledger import TransactionId

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables, the triggers, and the rights of the application's role."""
    tables()
    for script in ("0001_ledger.sql", "0001_grants.sql"):
        run_script(script)


def tables() -> None:
    """Create the tables of the models."""
    op.create_table(
        "event_heads",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("event_heads_pkey")),
    )
    op.create_table(
        "events",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column(
            "position",
            sa.BigInteger(),
            server_default=sa.FetchedValue(),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("reason_hash", sa.LargeBinary(), nullable=True),
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            server_default=sa.FetchedValue(),
            nullable=False,
        ),
        sa.Column(
            "previous_hash", sa.LargeBinary(), server_default=sa.FetchedValue(), nullable=False
        ),
        sa.Column("hash", sa.LargeBinary(), server_default=sa.FetchedValue(), nullable=False),
        sa.CheckConstraint(
            "concat(chain, kind, actor, channel, request_id, subject) !~ E'\\n'",
            name=op.f("events_one_line_check"),
        ),
        sa.PrimaryKeyConstraint("chain", "position", name=op.f("events_pkey")),
    )
    op.create_index("events_actor_idx", "events", ["actor", "occurred_at"], unique=False)
    op.create_index(
        "events_chain_occurred_at_idx", "events", ["chain", "occurred_at"], unique=False
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=True),
        sa.Column("positions", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_table(
        "ledger_notes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
        ),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("ledger_notes_pkey")),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ledger_notes_transaction_idx", "ledger_notes", ["transaction"], unique=False)
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[a-z0-9-]{3,64}$'", name=op.f("organizations_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("organizations_pkey")),
    )
    op.create_table(
        "reasons",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("reasons_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "tokens_valid_from",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("users_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("email", name=op.f("users_email_key")),
    )
    op.create_table(
        "invitations",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("invitee", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("times_sent", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lapsed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("invitations_id_check")),
        sa.CheckConstraint("invitee ~ '^[0-9a-f]{64}$'", name=op.f("invitations_invitee_check")),
        sa.CheckConstraint(
            "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
            name=op.f("invitations_expires_at_check"),
        ),
        sa.ForeignKeyConstraint(
            ["accepted_by"], ["users.id"], name=op.f("invitations_accepted_by_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["users.id"], name=op.f("invitations_invited_by_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("invitations_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("invitations_pkey")),
        sa.UniqueConstraint("token_hash", name=op.f("invitations_token_hash_key")),
    )
    op.create_index(
        "invitations_expires_at_idx",
        "invitations",
        ["expires_at"],
        unique=False,
        postgresql_where="accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL",
    )
    op.create_index(
        "invitations_one_open_key",
        "invitations",
        ["organization_id", "email"],
        unique=True,
        postgresql_where="accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL",
    )
    op.create_index("invitations_email_sent_at_idx", "invitations", ["email", "sent_at"])
    op.create_index(
        "invitations_organization_id_sent_at_idx", "invitations", ["organization_id", "sent_at"]
    )
    op.create_index(
        "invitations_organization_id_created_at_idx",
        "invitations",
        ["organization_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "ledger",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column(
            "position",
            sa.BigInteger(),
            server_default=sa.FetchedValue(),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("updates", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("catalog_version", sa.Text(), nullable=False),
        sa.Column("reason_hash", sa.LargeBinary(), nullable=True),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            server_default=sa.FetchedValue(),
            nullable=False,
        ),
        sa.Column(
            "previous_hash", sa.LargeBinary(), server_default=sa.FetchedValue(), nullable=False
        ),
        sa.Column("hash", sa.LargeBinary(), server_default=sa.FetchedValue(), nullable=False),
        sa.CheckConstraint(
            "concat(actor, channel, request_id, catalog_version, array_to_string(updates, '')) !~ E'\\n'",
            name=op.f("ledger_one_line_check"),
        ),
        sa.CheckConstraint(
            "coalesce(array_ndims(updates), 0) = 1 AND array_position(updates, NULL) IS NULL",
            name=op.f("ledger_updates_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("ledger_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "position", name=op.f("ledger_pkey")),
    )
    op.create_index("ledger_decided_at_idx", "ledger", ["decided_at"], unique=False)
    op.create_table(
        "ledger_heads",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("ledger_heads_organization_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("ledger_heads_pkey")),
    )
    op.create_table(
        "memberships",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "joined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("memberships_organization_id_fkey")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("memberships_user_id_fkey")),
        sa.PrimaryKeyConstraint("organization_id", "user_id", name=op.f("memberships_pkey")),
    )
    op.create_index(
        "memberships_in_order_idx",
        "memberships",
        ["organization_id", "joined_at", "user_id"],
        unique=False,
    )
    op.create_index("memberships_user_id_idx", "memberships", ["user_id"], unique=False)
    op.create_table(
        "activity",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("last_active_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name=op.f("activity_organization_id_fkey"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "user_id", name=op.f("activity_pkey")),
    )
    op.create_table(
        "invitation_roles",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("invitation_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "role ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$'", name=op.f("invitation_roles_role_check")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "invitation_id"],
            ["invitations.organization_id", "invitations.id"],
            name=op.f("invitation_roles_organization_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "invitation_id", "role", name=op.f("invitation_roles_pkey")
        ),
    )
    op.create_table(
        "ledger_applications",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("zed_token", sa.Text(), nullable=True),
        sa.Column("enforced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "position"],
            ["ledger.organization_id", "ledger.position"],
            name=op.f("ledger_applications_organization_id_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "position", name=op.f("ledger_applications_pkey")
        ),
    )
    op.create_index(
        "ledger_applications_open_idx",
        "ledger_applications",
        ["organization_id", "position"],
        unique=False,
        postgresql_where="status <> 'applied'",
    )
    op.create_table(
        "role_assignments",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "granted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$' AND role <> 'member'",
            name=op.f("role_assignments_role_check"),
        ),
        sa.CheckConstraint(
            "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
            name=op.f("role_assignments_expires_at_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name=op.f("role_assignments_organization_id_fkey"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "user_id", "role", name=op.f("role_assignments_pkey")
        ),
    )
    op.create_index(
        "role_assignments_expires_at_idx",
        "role_assignments",
        ["expires_at"],
        unique=False,
        postgresql_where="expires_at IS NOT NULL",
    )
    op.create_index(
        "role_assignments_organization_id_role_idx",
        "role_assignments",
        ["organization_id", "role"],
        unique=False,
    )
