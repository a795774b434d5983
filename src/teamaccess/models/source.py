"""One idea carries the product: a row says which relationships it stands for."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Self, cast

from sqlalchemy import ColumnElement, DateTime, Table

from teamaccess.models.base import Base
from teamaccess.relationships import Relationship

Instant = datetime | ColumnElement[datetime]
"""A time, or what PostgreSQL calls one, such as its clock."""

IN_RANGE = "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
"""The ends that SpiceDB can keep."""


class RelationshipSource(Base):
    """A row that means access.

    PostgreSQL notes every change to such a table (the trigger `ledger_note`), whoever makes it and
    however; before the commit the ledger asks the noted images for their relationships.
    """

    __abstract__ = True

    def relationships(self) -> Iterator[Relationship]:
        """Yield what this row stands for, from its own columns and nothing else.

        A relationship belongs to exactly one row: no two rows that can exist at once yield the same
        resource, relation and subject.
        """
        raise NotImplementedError

    @classmethod
    def from_image(cls, image: Mapping[str, Any]) -> Self:
        """Return the row as PostgreSQL's `to_jsonb` noted it; it is in no session."""
        table = cast(Table, cls.__table__)
        return cls(
            **{
                name: datetime.fromisoformat(value)
                if value is not None and isinstance(table.c[name].type, DateTime)
                else value
                for name, value in image.items()
            }
        )

    @classmethod
    def tables(cls) -> "dict[str, type[RelationshipSource]]":
        """Return every source by the name of its table."""
        return {source.__tablename__: source for source in cls.__subclasses__()}
