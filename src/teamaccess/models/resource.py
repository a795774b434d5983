"""An object that a service has registered."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.ids import (
    LOCAL_PATTERN,
    ROLE_PATTERN,
    OrganizationId,
    ResourceId,
    UserId,
)
from teamaccess.models.source import RelationshipSource, is_user, local_id, tenant_of
from teamaccess.relationships import ObjectReference, Relationship, organization, user


class Resource(RelationshipSource):
    """One webhook, transfer or the like, so that access to this one can be asked and granted.

    The row stays when the object is removed: its id is never used again, and neither row nor creator can
    be changed back (PostgreSQL refuses both).
    """

    __tablename__ = "resources"
    __table_args__ = (
        CheckConstraint(f"type ~ '{ROLE_PATTERN}'", name="type"),
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        Index("resources_present_idx", "organization_id", postgresql_where="removed_at IS NULL"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    type: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[ResourceId] = mapped_column(primary_key=True)
    creator: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    """Who made it, where one of its actions is never for them."""
    registered_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    removed_at: Mapped[datetime | None]

    @property
    def reference(self) -> ObjectReference:
        """The object's name in the graph: `webhook:acme/wh_1`."""
        return ObjectReference(self.type, f"{self.organization_id}/{self.id}")

    def relationships(self) -> Iterator[Relationship]:
        """Yield who made it and whose object it is, while it is there.

        In this order, for whoever writes them one after the other: without its organization nobody
        can do anything to it, but without its creator they could authorize it.
        """
        if self.removed_at is None:
            reference = ObjectReference(self.type, f"{self.organization_id}/{self.id}")
            if self.creator is not None:
                yield reference.relates("creator", user(self.creator))
            yield reference.relates("organization", organization(self.organization_id))

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it says whose object something is, or who made one of a type that asks for it."""
        resource, subject = relationship.resource, relationship.subject
        tenant = tenant_of(resource)
        if resource.type not in catalog.types or local_id(resource, tenant) is None:
            return False
        if relationship.relation == "creator":
            return catalog.types[resource.type].demands_creator and is_user(subject)
        return (
            relationship.relation == "organization"
            and subject.object == organization(tenant)
            and subject.relation is None
        )

    @classmethod
    def about(cls, resource_type: str) -> ColumnElement[bool]:
        """Which rows stand for relationships of such resources."""
        return cls.type == resource_type
