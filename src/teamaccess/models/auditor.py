"""Who audits every organization."""

from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, or_
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import UserId


class Auditor(Base):
    """Somebody who may ask the auditor's questions about every organization, perhaps until a time.

    It means no access in any of them, so it stands for no relationship.
    """

    __tablename__ = "auditors"

    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), primary_key=True)
    granted_at: Mapped[datetime]
    granted_by: Mapped[str]
    """The operator, as the events name them."""
    reason_hash: Mapped[bytes]
    expires_at: Mapped[datetime | None]

    @classmethod
    def active(cls, at: datetime) -> ColumnElement[bool]:
        """Which of them have not ended by `at`."""
        return or_(cls.expires_at.is_(None), cls.expires_at > at)
