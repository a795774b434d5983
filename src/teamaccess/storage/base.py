"""The base class of all tables, and the attestations of rows."""

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
    """The attestation of a row: its hash, and the position of the event that contains this hash.

    PostgreSQL writes it with the event. It refuses a row that gives access or trust (an API token, an
    invitation, an auditor, a login, a resolved finding) unless the row matches its attestation.
    """

    __tablename__ = "attested_rows"

    key: Mapped[str] = mapped_column(primary_key=True)
    """The type and id of the row, such as `api_token:acme/tok_1` or `login:usr_1`."""
    chain: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    """The position of the event. It is 0 for a row older than attestations."""
    proof: Mapped[str]
