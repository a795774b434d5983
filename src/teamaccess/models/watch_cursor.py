"""How far SpiceDB's Watch has been read."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class WatchCursor(Base):
    """The ZedToken up to which every write of SpiceDB has been looked at; one row or none."""

    __tablename__ = "watch_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default="1")
    zed_token: Mapped[str]
