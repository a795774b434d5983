"""One idea carries the product: a row says which relationships it stands for."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, Self, cast

from sqlalchemy import ColumnElement, false, true

from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, Relationship, SubjectReference
from teamaccess.storage.base import Base
from teamaccess.storage.ids import is_local_id, is_organization_id

Instant = datetime | ColumnElement[datetime]
"""A time, or what PostgreSQL calls one, such as its clock."""

EXPIRATION_IN_RANGE = (
    "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
)
"""The ends that SpiceDB can keep."""


class RelationshipSource(Base):
    """A row that means access.

    PostgreSQL notes every change to such a table (the procedure `note_changes`), whoever makes it and
    however; before the commit the ledger asks the noted images for their relationships.
    """

    __abstract__ = True

    resource_type: ClassVar[str]
    """The type of the resources that relationships of such a row are about, where it is always one."""

    def relationships(self) -> Iterator[Relationship]:
        """Yield what this row stands for, from its own columns and nothing else.

        A relationship belongs to exactly one row: no two rows that can exist at once yield the same
        resource, relation and subject.
        """
        raise NotImplementedError

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether some row of this table could stand for the relationship; no other table's could."""
        raise NotImplementedError

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources; a row never does for two types."""
        return true() if resource_type == cls.resource_type else false()

    @classmethod
    def relationships_of(cls, image: Mapping[str, Any]) -> Iterator[Relationship]:
        """Yield what a row stands for of which there is only the image that PostgreSQL noted.

        `relationships` may look at its columns and at nothing else. Of the instants, which JSON only has
        as text, it may use `expires_at`; of the others, whether they are there.
        """
        columns = SimpleNamespace(**image)
        if (end := image.get("expires_at")) is not None:
            columns.expires_at = datetime.fromisoformat(end)
        return cls.relationships(cast(Self, columns))

    @classmethod
    def tables(cls) -> "dict[str, type[RelationshipSource]]":
        """Return every source by the name of its table."""
        return {source.__tablename__: source for source in cls.__subclasses__()}


def is_held_by_a_user(relationship: Relationship) -> bool:
    """Whether it is one of a user, not of a set of them, to an organization."""
    resource = relationship.resource
    return (
        resource.type == "organization"
        and is_organization_id(resource.id)
        and is_user(relationship.subject)
    )


def is_user(subject: SubjectReference) -> bool:
    """Whether it is one user."""
    return (
        subject.object.type == "user"
        and is_local_id(subject.object.id)
        and subject.relation is None
    )


def is_team(subject: SubjectReference, organization: str) -> bool:
    """Whether it is the members of one of the organization's teams."""
    return (
        subject.object.type == "team"
        and subject.relation == "member"
        and local_id(subject.object, organization) is not None
    )


def tenant_of(resource: ObjectReference) -> str:
    """Return the organization whose object it is, by its name."""
    return resource.id.partition("/")[0]


def local_id(resource: ObjectReference, organization: str) -> str | None:
    """Return what an object of the organization is called there; None if it is not one of its."""
    tenant, _, id = resource.id.partition("/")
    return id if tenant == organization and is_organization_id(tenant) and is_local_id(id) else None
