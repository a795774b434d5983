"""The base class of all rows, and rows whose origin an event proves."""

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, NewType, Self, cast

from sqlalchemy import BigInteger, ColumnElement, DateTime, LargeBinary, MetaData, Text, false, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, Relationship, SubjectReference

OrganizationId = NewType("OrganizationId", str)
UserId = NewType("UserId", str)
RoleId = NewType("RoleId", str)
InvitationId = NewType("InvitationId", str)
TeamId = NewType("TeamId", str)
ResourceId = NewType("ResourceId", str)
RequestId = NewType("RequestId", str)
TokenId = NewType("TokenId", str)

ORGANIZATION_PATTERN = r"^[a-z0-9-]{3,64}$"
"""A slug; immutable, and never used again after the organization ended."""

LOCAL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""An id inside an organization, and a user's: safe as the part of a SpiceDB object id."""

ROLE_PATTERN = r"^[a-z][a-z0-9_]{1,62}[a-z0-9]$"
"""SpiceDB's own limits for the name of a relation."""


def new_user_id() -> UserId:
    """Return a fresh opaque id; never derived from the e-mail address, which may change."""
    return UserId(f"usr_{secrets.token_hex(10)}")


def new_invitation_id() -> InvitationId:
    """Return a fresh opaque id, unique in every organization."""
    return InvitationId(f"inv_{secrets.token_hex(10)}")


def new_service_account_id() -> UserId:
    """Return a fresh opaque id of a machine."""
    return UserId(f"sa_{secrets.token_hex(10)}")


def new_request_id() -> RequestId:
    """Return a fresh opaque id of an access request."""
    return RequestId(f"req_{secrets.token_hex(10)}")


def new_token_id() -> TokenId:
    """Return a fresh opaque id of an API token, which is no secret."""
    return TokenId(f"tok_{secrets.token_hex(10)}")


def is_role_id(text: str) -> bool:
    """Return whether the text could be the id of a role."""
    return re.fullmatch(ROLE_PATTERN, text) is not None and "\n" not in text


def is_organization_id(text: str) -> bool:
    """Return whether the text could be an organization's id."""
    return re.fullmatch(ORGANIZATION_PATTERN, text) is not None and "\n" not in text


def is_local_id(text: str) -> bool:
    """Return whether the text could be the id of a user, an invitation, or the like."""
    return re.fullmatch(LOCAL_PATTERN, text) is not None and "\n" not in text


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


Instant = datetime | ColumnElement[datetime]
"""A time, or what PostgreSQL calls one, such as its clock."""

IN_RANGE = "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
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
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether some row of this table could stand for the relationship; no other table's could."""
        raise NotImplementedError

    @classmethod
    def about(cls, resource_type: str) -> ColumnElement[bool]:
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
