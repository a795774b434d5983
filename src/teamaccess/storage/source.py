"""The central idea: each row yields the relationships that it stands for."""

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
"""A time, or an SQL expression for one, such as PostgreSQL's clock."""

EXPIRATION_IN_RANGE = (
    "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
)
"""The expirations that SpiceDB can store."""


class RelationshipSource(Base):
    """The base class of rows that give access.

    PostgreSQL notes every change of such a table, from any client (the procedure `note_changes`). Before
    the commit, the ledger computes the relationships of the noted rows.
    """

    __abstract__ = True

    resource_type: ClassVar[str]
    """The resource type of the relationships, for tables with only one such type."""

    def relationships(self) -> Iterator[Relationship]:
        """Yield the relationships that this row stands for. Only the row's own columns may matter.

        A relationship belongs to exactly one row. No two rows that can exist at the same time may yield
        the same resource, relation and subject.
        """
        raise NotImplementedError

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether a row of this table could stand for the relationship.

        At most one table may return true for a relationship.
        """
        raise NotImplementedError

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Return the condition for rows with relationships of this resource type.

        A row has relationships of one type only.
        """
        return true() if resource_type == cls.resource_type else false()

    @classmethod
    def relationships_of(cls, image: Mapping[str, Any]) -> Iterator[Relationship]:
        """Yield the relationships of a row from its image, the JSON that PostgreSQL noted.

        So `relationships` may use only the columns. The image has times as text. Only `expires_at` is
        parsed, so of other times `relationships` may use only whether they are None.
        """
        columns = SimpleNamespace(**image)
        if (expires_at := image.get("expires_at")) is not None:
            columns.expires_at = datetime.fromisoformat(expires_at)
        return cls.relationships(cast(Self, columns))

    @classmethod
    def tables(cls) -> "dict[str, type[RelationshipSource]]":
        """Return the source classes by the names of their tables."""
        return {source.__tablename__: source for source in cls.__subclasses__()}


def is_held_by_a_user(relationship: Relationship) -> bool:
    """Return whether it relates an organization to one user, not to a set of users."""
    resource = relationship.resource
    return (
        resource.type == "organization"
        and is_organization_id(resource.id)
        and is_user(relationship.subject)
    )


def is_user(subject: SubjectReference) -> bool:
    """Return whether the subject is one user."""
    return (
        subject.object.type == "user"
        and is_local_id(subject.object.id)
        and subject.relation is None
    )


def is_team(subject: SubjectReference, organization: str) -> bool:
    """Return whether the subject is the set of members of one of the organization's teams."""
    return (
        subject.object.type == "team"
        and subject.relation == "member"
        and local_id(subject.object, organization) is not None
    )


def tenant_of(resource: ObjectReference) -> str:
    """Return the id of the organization that the object's id names."""
    return resource.id.partition("/")[0]


def local_id(resource: ObjectReference, organization: str) -> str | None:
    """Return the object's id inside the organization, None if it belongs to another one."""
    tenant, _, id = resource.id.partition("/")
    return id if tenant == organization and is_organization_id(tenant) and is_local_id(id) else None
