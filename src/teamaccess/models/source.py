"""One idea carries the product: a row says which relationships it stands for."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Self, cast

from sqlalchemy import ColumnElement, DateTime, Table

from teamaccess.catalog import Catalog
from teamaccess.models.base import Base
from teamaccess.models.ids import is_local_id, is_organization_id
from teamaccess.relationships import Relationship

Instant = datetime | ColumnElement[datetime]
"""A time, or what PostgreSQL calls one, such as its clock."""

IN_RANGE = "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
"""The ends that SpiceDB can keep."""


class Noted:
    """A row's columns, read from its image; all that `relationships` may look at."""

    def __init__(self, source: type["RelationshipSource"], image: Mapping[str, Any]) -> None:
        self._source, self._image = source, image

    def __getattr__(self, column: str) -> Any:
        value = self._image[column]
        if value is not None and column in self._source.times():
            return datetime.fromisoformat(value)
        return value


class RelationshipSource(Base):
    """A row that means access.

    PostgreSQL notes every change to such a table (the procedure `note_changes`), whoever makes it and
    however; before the commit the ledger asks the noted images for their relationships.
    """

    __abstract__ = True

    resource_type: ClassVar[str]
    """The type of the resource of every relationship that such a row can stand for."""

    def relationships(self) -> Iterator[Relationship]:
        """Yield what this row stands for, from its own columns and nothing else.

        A relationship belongs to exactly one row: no two rows that can exist at once yield the same
        resource, relation and subject.
        """
        raise NotImplementedError

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether some row of this table could stand for the relationship; no other table's could."""
        raise NotImplementedError

    @classmethod
    def relationships_of(cls, image: Mapping[str, Any]) -> Iterator[Relationship]:
        """Yield what a row stands for of which there is only the image that PostgreSQL noted."""
        return cls.relationships(cast(Self, Noted(cls, image)))

    @classmethod
    @cache
    def times(cls) -> frozenset[str]:
        """Return the columns that hold an instant, which JSON only has as text."""
        columns = cast(Table, cls.__table__).columns
        return frozenset(each.name for each in columns if isinstance(each.type, DateTime))

    @classmethod
    def tables(cls) -> "dict[str, type[RelationshipSource]]":
        """Return every source by the name of its table."""
        return {source.__tablename__: source for source in cls.__subclasses__()}


def is_held_by_a_user(relationship: Relationship) -> bool:
    """Whether it is one of a user, not of a set of them, to an organization."""
    resource, subject = relationship.resource, relationship.subject
    return (
        resource.type == "organization"
        and is_organization_id(resource.id)
        and subject.object.type == "user"
        and is_local_id(subject.object.id)
        and subject.relation is None
    )
