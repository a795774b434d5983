"""What all tables share: the metadata, its naming, and the types of columns."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from teamaccess.models.ids import (
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
