"""The base class of all tables, and the attestations of rows."""

import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar, NewType, Self, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    DateTime,
    LargeBinary,
    MetaData,
    Text,
    false,
    true,
)
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

LONGEST_NAME_ID = 64
"""The longest id of an organization or a role."""

ORGANIZATION_PATTERN = rf"^[a-z0-9-]{{3,{LONGEST_NAME_ID}}}$"
"""A slug. It is immutable, and is not reused after the organization has ended."""

LONGEST_LOCAL_ID = 128
"""With the longest organization id and a slash, far below SpiceDB's 1,024 characters."""

LOCAL_PATTERN = rf"^[A-Za-z0-9_-]{{1,{LONGEST_LOCAL_ID}}}$"
"""An id inside an organization, or a user's id. It is valid as a part of a SpiceDB object id."""

ROLE_PATTERN = r"^[a-z][a-z0-9_]{1,62}[a-z0-9]$"
"""SpiceDB's own limits for the name of a relation."""


def new_user_id() -> UserId:
    """Return a new opaque id. It is not derived from the e-mail address, because that may change."""
    return UserId(f"usr_{secrets.token_hex(10)}")


def new_invitation_id() -> InvitationId:
    """Return a new opaque id of an invitation."""
    return InvitationId(f"inv_{secrets.token_hex(10)}")


def new_service_account_id() -> UserId:
    """Return a new opaque id of a service account."""
    return UserId(f"sa_{secrets.token_hex(10)}")


def new_request_id() -> RequestId:
    """Return a new opaque id of an access request."""
    return RequestId(f"req_{secrets.token_hex(10)}")


def new_token_id() -> TokenId:
    """Return a new opaque id of an API token. The id is not secret."""
    return TokenId(f"tok_{secrets.token_hex(10)}")


def is_role_id(text: str) -> bool:
    """Return whether the text is a valid id of a role."""
    return re.fullmatch(ROLE_PATTERN, text) is not None and "\n" not in text


def is_organization_id(text: str) -> bool:
    """Return whether the text is a valid id of an organization."""
    return re.fullmatch(ORGANIZATION_PATTERN, text) is not None and "\n" not in text


def suggest_local_id(text: str) -> str:
    """Return a valid id that resembles the text."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:LONGEST_LOCAL_ID] or "id-1"


def suggest_organization_id(text: str) -> str:
    """Return a valid id of an organization that resembles the text."""
    slug = _plain(text, "-")
    return slug if len(slug) >= 3 else f"org-{slug or 1}"


def suggest_role_id(text: str) -> str:
    """Return a valid id of a role that resembles the text."""
    name = _plain(text, "_")
    return name if is_role_id(name) else f"role_{name or 1}"[:LONGEST_NAME_ID].rstrip("_")


def _plain(text: str, separator: str) -> str:
    """Return the text in lower case and without accents, with a separator for all but a-z and 0-9."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", separator, ascii_only).strip(separator)
    return name[:LONGEST_NAME_ID].rstrip(separator)


def is_local_id(text: str) -> bool:
    """Return whether the text is a valid id of a user, an invitation or another object."""
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


Instant = datetime | ColumnElement[datetime]
"""A time, or an SQL expression for one, such as PostgreSQL's clock."""

EXPIRATION_IN_RANGE = (
    "expires_at >= '0001-01-01T00:00:00Z' AND expires_at < '10000-01-01T00:00:00Z'"
)
"""The expirations that SpiceDB can store."""


def times_in_calendar(*columns: str) -> CheckConstraint:
    """Return the constraint that the times are finite and lie in the years 1970 to 9999.

    PostgreSQL can store others, which Python cannot represent.
    """
    first, end = "'1970-01-01T00:00:00Z'", "'10000-01-01T00:00:00Z'"
    ranges = (f"{column} >= {first} AND {column} < {end}" for column in columns)
    return CheckConstraint(" AND ".join(ranges), name="times")


def known_only(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a text is one of these values, so that every reader knows it."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def readable_json(column: str) -> str:
    """Return the SQL condition that the JSON is not too large or too deep, and its numbers not too long.

    PostgreSQL stores numbers of a hundred thousand digits and thousands of nested lists. Python can read
    neither.
    """
    return (
        f"octet_length(CAST({column} AS text)) <= 4194304"
        f" AND NOT jsonb_path_exists({column}, 'strict $.**{{17 to last}}')"
        f" AND NOT jsonb_path_exists({column}, 'strict $.** ? (@ > 1e18 || @ < -1e18)')"
    )


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
