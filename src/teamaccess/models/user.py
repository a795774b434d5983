"""A person who signs in."""

from datetime import datetime

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import LOCAL_PATTERN, UserId


class User(Base):
    """A person, known by an opaque id; the e-mail address is only how they are reached."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),)

    id: Mapped[UserId] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    tokens_valid_from: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    def end_sessions(self, at: datetime) -> None:
        """Refuse every access token issued before `at`, and what was issued since by who was faster."""
        self.tokens_valid_from = func.greatest(  # never back
            User.tokens_valid_from, at, func.clock_timestamp()
        )
