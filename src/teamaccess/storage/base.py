"""The base class of all rows, and rows whose origin an event proves."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from teamaccess.storage.ids import (
    InvitationId,
    OrganizationId,
    RequestId,
    ResourceId,
    RoleId,
    TeamId,
    TokenId,
    UserId,
)


class Base(DeclarativeBase):
    """The declarative base of every table."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "ix": "%(table_name)s_%(column_0_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        OrganizationId: Text,
        UserId: Text,
        RoleId: Text,
        InvitationId: Text,
        TeamId: Text,
        ResourceId: Text,
        RequestId: Text,
        TokenId: Text,
    }


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
