"""What the newest event about a row says that it is."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class AttestedRow(Base):
    """The proof of one row and the event that has it; PostgreSQL writes it with the event.

    Rows by which somebody signs in, is let in, or is believed are refused unless they are so.
    """

    __tablename__ = "attested_rows"

    key: Mapped[str] = mapped_column(primary_key=True)
    """The row, as type and id: `api_token:acme/tok_1`, `login:usr_1`."""
    chain: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    """The position of the event; 0 for a row from before events had proofs."""
    proof: Mapped[str]
