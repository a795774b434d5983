"""When an organization was last compared with SpiceDB."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import OrganizationId


class Reconciliation(Base):
    """The last comparison of an organization's rows with SpiceDB, and how many differences it found."""

    __tablename__ = "reconciliations"

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    checked_at: Mapped[datetime]
    differences: Mapped[int]
    asked_at: Mapped[datetime | None]
    """Since when it is to be compared before others, until a comparison that began later answers it."""
