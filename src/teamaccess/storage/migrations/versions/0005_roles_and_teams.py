"""Custom roles, teams, objects with grants, access requests, service accounts and OpenID logins."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from teamaccess.storage.migrations import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables, note changes to them, and let the application use them."""
    roles()
    teams()
    resources()
    access_requests()
    service_accounts()
    run_script("0005_roles_and_teams.sql")


def roles() -> None:
    """Add custom roles, and role assignments of them."""
    op.create_table(
        "custom_roles",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("selectors", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "id ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$' AND id <> 'member'",
            name=op.f("custom_roles_id_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("custom_roles_organization_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("custom_roles_pkey")),
    )
    op.create_table(
        "custom_role_actions",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "action ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$'",
            name=op.f("custom_role_actions_action_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "role"],
            ["custom_roles.organization_id", "custom_roles.id"],
            name=op.f("custom_role_actions_organization_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "role", "action", name=op.f("custom_role_actions_pkey")
        ),
    )
    op.add_column(
        "role_assignments",
        sa.Column("custom", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column(
        "role_assignments",
        sa.Column(
            "custom_role",
            sa.Text(),
            sa.Computed("CASE WHEN custom THEN role ELSE NULL::text END", persisted=True),
            nullable=True,
        ),
    )
    op.create_foreign_key(
        "role_assignments_custom_role_fkey",
        "role_assignments",
        "custom_roles",
        ["organization_id", "custom_role"],
        ["organization_id", "id"],
    )


def teams() -> None:
    """Add teams, their members and their roles."""
    op.create_table(
        "teams",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("teams_id_check")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("teams_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("teams_pkey")),
    )
    op.create_table(
        "team_roles",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column(
            "granted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("custom", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "custom_role",
            sa.Text(),
            sa.Computed("CASE WHEN custom THEN role ELSE NULL::text END", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint(
            "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
            name=op.f("team_roles_expires_at_check"),
        ),
        sa.CheckConstraint(
            "role ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$' AND role <> 'member'",
            name=op.f("team_roles_role_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "custom_role"],
            ["custom_roles.organization_id", "custom_roles.id"],
            name="team_roles_custom_role_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="team_roles_team_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "team_id", "role", name=op.f("team_roles_pkey")),
    )
    op.create_index(
        "team_roles_expires_at_idx",
        "team_roles",
        ["expires_at"],
        unique=False,
        postgresql_where="expires_at IS NOT NULL",
    )
    op.create_index(
        "team_roles_organization_id_role_idx",
        "team_roles",
        ["organization_id", "role"],
        unique=False,
    )
    op.create_table(
        "team_memberships",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column(
            "joined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
            name=op.f("team_memberships_expires_at_check"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="team_memberships_team_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name="team_memberships_user_id_fkey",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id", "team_id", "user_id", name=op.f("team_memberships_pkey")
        ),
    )
    op.create_index(
        "team_memberships_expires_at_idx",
        "team_memberships",
        ["expires_at"],
        unique=False,
        postgresql_where="expires_at IS NOT NULL",
    )
    op.create_index(
        "team_memberships_user_id_idx",
        "team_memberships",
        ["organization_id", "user_id"],
        unique=False,
    )


def resources() -> None:
    """Add objects that services register, and grants on them."""
    op.create_table(
        "resources",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("creator", sa.Text(), nullable=True),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("resources_id_check")),
        sa.CheckConstraint(
            "type ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$'", name=op.f("resources_type_check")
        ),
        sa.ForeignKeyConstraint(["creator"], ["users.id"], name=op.f("resources_creator_fkey")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("resources_organization_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "type", "id", name=op.f("resources_pkey")),
    )
    op.create_table(
        "grants",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("holder_kind", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column(
            "user_id",
            sa.Text(),
            sa.Computed(
                "CASE WHEN holder_kind = 'user'::text THEN holder ELSE NULL::text END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "team_id",
            sa.Text(),
            sa.Computed(
                "CASE WHEN holder_kind = 'team'::text THEN holder ELSE NULL::text END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column(
            "granted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "action ~ '^[a-z][a-z0-9_]{1,62}[a-z0-9]$'", name=op.f("grants_action_check")
        ),
        sa.CheckConstraint(
            "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'",
            name=op.f("grants_expires_at_check"),
        ),
        sa.CheckConstraint("holder ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("grants_holder_check")),
        sa.CheckConstraint(
            "holder_kind IN ('user', 'team')", name=op.f("grants_holder_kind_check")
        ),
        sa.ForeignKeyConstraint(["granted_by"], ["users.id"], name=op.f("grants_granted_by_fkey")),
        sa.ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="grants_team_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "type", "resource_id"],
            ["resources.organization_id", "resources.type", "resources.id"],
            name="grants_resource_id_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name="grants_user_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "organization_id",
            "type",
            "resource_id",
            "action",
            "holder_kind",
            "holder",
            name=op.f("grants_pkey"),
        ),
    )
    op.create_index(
        "grants_expires_at_idx",
        "grants",
        ["expires_at"],
        unique=False,
        postgresql_where="expires_at IS NOT NULL",
    )
    op.create_index("grants_team_id_idx", "grants", ["organization_id", "team_id"], unique=False)
    op.create_index("grants_user_id_idx", "grants", ["organization_id", "user_id"], unique=False)


def access_requests() -> None:
    """Add access requests."""
    op.create_table(
        "access_requests",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("hours", sa.Integer(), nullable=False),
        sa.Column("reason_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decision_reason_hash", sa.LargeBinary(), nullable=True),
        sa.Column("granted_role", sa.Text(), nullable=True),
        sa.Column("granted_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("access_requests_id_check")),
        sa.CheckConstraint(
            "num_nonnulls(role, action) = 1", name=op.f("access_requests_wanted_check")
        ),
        sa.CheckConstraint("hours > 0", name=op.f("access_requests_hours_check")),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'declined', 'withdrawn')",
            name=op.f("access_requests_status_check"),
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (decided_at IS NULL)",
            name=op.f("access_requests_decided_at_check"),
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["users.id"], name=op.f("access_requests_decided_by_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("access_requests_organization_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("access_requests_user_id_fkey")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("access_requests_pkey")),
    )
    op.create_index(
        "access_requests_in_order_idx",
        "access_requests",
        ["organization_id", "requested_at", "id"],
        unique=False,
    )
    op.create_index(
        "access_requests_user_id_idx",
        "access_requests",
        ["organization_id", "user_id", "requested_at"],
        unique=False,
    )
    for wanted in ("role", "action"):
        op.create_index(
            f"access_requests_one_open_{wanted}_key",
            "access_requests",
            ["organization_id", "user_id", wanted],
            unique=True,
            postgresql_where="status = 'pending'",
        )


def service_accounts() -> None:
    """Add service accounts, their tokens, and logins at OpenID providers."""
    op.create_table(
        "api_tokens",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9_-]{1,64}$'", name=op.f("api_tokens_id_check")),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name=op.f("api_tokens_organization_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("api_tokens_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_tokens_hash_key")),
    )
    op.create_index(
        "api_tokens_user_id_idx", "api_tokens", ["organization_id", "user_id"], unique=False
    )
    op.add_column("users", sa.Column("service_account_of", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("external_id", sa.Text(), nullable=True))
    op.alter_column("users", "email", existing_type=sa.TEXT(), nullable=True)
    op.create_index(
        "users_external_id_key",
        "users",
        ["external_id"],
        unique=True,
        postgresql_where="external_id IS NOT NULL",
    )
    op.create_index(
        "users_login_key",
        "users",
        ["issuer", "subject"],
        unique=True,
        postgresql_where="issuer IS NOT NULL",
    )
    op.create_foreign_key(
        op.f("users_service_account_of_fkey"),
        "users",
        "organizations",
        ["service_account_of"],
        ["id"],
    )
    op.create_check_constraint(
        op.f("users_kind_check"),
        "users",
        "service_account_of IS NULL OR num_nonnulls(email, issuer) = 0",
    )
    op.create_check_constraint(
        op.f("users_login_check"), "users", "(issuer IS NULL) = (subject IS NULL)"
    )
