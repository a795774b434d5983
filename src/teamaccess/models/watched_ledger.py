"""How far the watcher has seen each ledger arrive in SpiceDB."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import OrganizationId


class WatchedLedger(Base):
    """The newest position of an organization that Watch has told of; each one arrives once."""

    __tablename__ = "watched_ledgers"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
