"""A person who signs in, or a machine."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import LOCAL_PATTERN, OrganizationId, UserId


class User(Base):
    """A person, known by an opaque id; the e-mail address is only how they are reached.

    A service account is a user as well, of one organization and without an address, so that it is a
    member like any other. Where people keep their own login, they are known by its issuer and subject.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint("(email IS NULL) = (service_account_of IS NOT NULL)", name="kind"),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="login"),
        UniqueConstraint("issuer", "subject", name="users_login_key"),
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
    external_id: Mapped[str | None] = mapped_column(unique=True)

    def end_sessions(self, at: datetime) -> None:
        """Refuse every access token issued before `at`, and what was issued since by who was faster."""
        self.tokens_valid_from = func.greatest(  # never back
            User.tokens_valid_from, at, func.clock_timestamp()
        )
