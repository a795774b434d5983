"""Why somebody did something, in their own words."""

import hashlib
import secrets
from typing import Self

from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base


class Reason(Base):
    """Free text beside the chains. It can be erased; the salted hash in the chain then proves nothing."""

    __tablename__ = "reasons"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    salt: Mapped[bytes]
    text: Mapped[str]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the reason with a fresh salt."""
        salt = secrets.token_bytes(16)
        return cls(hash=hashlib.sha256(salt + text.encode()).digest(), salt=salt, text=text)
