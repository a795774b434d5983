"""A person who signs in, or a machine."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import LOCAL_PATTERN, OrganizationId, UserId
from teamaccess.models.mailbox import IN_SQL, TAGGED


class UserKind(StrEnum):
    """Whether somebody is a person or a machine."""

    PERSON = "person"
    SERVICE_ACCOUNT = "service_account"

    @classmethod
    def of(cls, organization: OrganizationId | None) -> "UserKind":
        """Return the kind of who is a service account of the organization, or of none."""
        return cls.PERSON if organization is None else cls.SERVICE_ACCOUNT


class User(Base):
    """A person, known by an opaque id; the e-mail address is only how they are reached.

    A service account is a user as well, of one organization and without an address, so that it is a
    member like any other. Where people keep their own login, they are known by its issuer and subject,
    and have no address here if that login vouches for none.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint(
            "service_account_of IS NULL OR num_nonnulls(email, issuer) = 0", name="kind"
        ),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="login"),
        # partial: most people have neither, and entries for nothing cost every import
        Index(
            "users_login_key",
            "issuer",
            "subject",
            unique=True,
            postgresql_where="issuer IS NOT NULL",
        ),
        Index(
            "users_external_id_key",
            "external_id",
            unique=True,
            postgresql_where="external_id IS NOT NULL",
        ),
        Index(
            "users_mailbox_idx",
            text(f"({IN_SQL.format(email='email')})"),
            postgresql_where=TAGGED,
        ),
    )

    id: Mapped[UserId] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    tokens_valid_from: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    service_account_of: Mapped[OrganizationId | None] = mapped_column(
        ForeignKey("organizations.id")
    )
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    external_id: Mapped[str | None]
    linked_at: Mapped[datetime | None]
    """When a login was linked to a user who was there already. No token of ours from before is good."""

    @property
    def kind(self) -> UserKind:
        """Whether it is a person or a machine."""
        return UserKind.of(self.service_account_of)

    @property
    def is_service_account(self) -> bool:
        """Whether it is a machine."""
        return self.kind is UserKind.SERVICE_ACCOUNT

    def end_sessions(self, at: datetime) -> None:
        """Refuse every access token issued before `at`, and what was issued since by who was faster."""
        self.tokens_valid_from = func.greatest(  # never back
            User.tokens_valid_from, at, func.clock_timestamp()
        )
