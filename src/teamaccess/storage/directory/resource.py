"""Objects that services register, and grants on single objects."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    SubjectReference,
    organization,
    team,
    user,
)
from teamaccess.storage.base import (
    EXPIRATION_IN_RANGE,
    LOCAL_PATTERN,
    ROLE_PATTERN,
    Instant,
    OrganizationId,
    RelationshipSource,
    ResourceId,
    TeamId,
    UserId,
    is_team,
    is_user,
    local_id,
    tenant_of,
    times_in_calendar,
)


class Resource(RelationshipSource):
    """An object that a service registered, such as a webhook, so that access to it can be granted.

    The row stays when the object is removed, so that its id is not reused. PostgreSQL refuses to delete
    the row, to change its creator, and to undo a removal.
    """

    __tablename__ = "resources"
    __table_args__ = (
        CheckConstraint(f"type ~ '{ROLE_PATTERN}'", name="type"),
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        times_in_calendar("registered_at", "removed_at"),
        Index("resources_present_idx", "organization_id", postgresql_where="removed_at IS NULL"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    type: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[ResourceId] = mapped_column(primary_key=True)
    creator: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    """The creator, for a type with a four-eyes action."""
    registered_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    removed_at: Mapped[datetime | None]

    @property
    def reference(self) -> ObjectReference:
        """The object in SpiceDB, such as `webhook:acme/wh_1`."""
        return ObjectReference(self.type, f"{self.organization_id}/{self.id}")

    def relationships(self) -> Iterator[Relationship]:
        """Yield the object's creator and its organization, while the object is not removed.

        The order matters to code that writes them one by one. Without the organization, nobody has
        access to the object. Without the creator, the creator could authorize it.
        """
        if self.removed_at is None:
            reference = ObjectReference(self.type, f"{self.organization_id}/{self.id}")
            if self.creator is not None:
                yield reference.relates("creator", user(self.creator))
            yield reference.relates("organization", organization(self.organization_id))

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it names the organization of an object, or the creator if the type has one."""
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
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Return the condition for rows with relationships of this resource type."""
        return cls.type == resource_type


class HolderKind(StrEnum):
    """The kinds of holders of a grant."""

    USER = "user"
    TEAM = "team"


class Grant(RelationshipSource):
    """An action or a role on one object, granted to a member or a team, perhaps with an end.

    It ends with the membership, the team or the object at the latest.
    """

    __tablename__ = "grants"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "type", "resource_id"],
            ["resources.organization_id", "resources.type", "resources.id"],
            name="grants_resource_id_fkey",
        ),
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["memberships.organization_id", "memberships.user_id"],
            name="grants_user_id_fkey",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["organization_id", "team_id"],
            ["teams.organization_id", "teams.id"],
            name="grants_team_id_fkey",
            ondelete="CASCADE",
        ),
        CheckConstraint(f"action ~ '{ROLE_PATTERN}'", name="action"),
        CheckConstraint("holder_kind IN ('user', 'team')", name="holder_kind"),
        CheckConstraint(f"holder ~ '{LOCAL_PATTERN}'", name="holder"),
        CheckConstraint(EXPIRATION_IN_RANGE, name="expires_at"),
        times_in_calendar("granted_at", "expires_at"),
        Index("grants_user_id_idx", "organization_id", "user_id"),
        Index("grants_team_id_idx", "organization_id", "team_id"),
        Index("grants_expires_at_idx", "expires_at", postgresql_where="expires_at IS NOT NULL"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    resource_id: Mapped[ResourceId] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    """A permission of the object's type, such as `edit`, or one of its roles, such as `editor`."""
    holder_kind: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str] = mapped_column(primary_key=True)
    """The id of the member or the team."""
    user_id: Mapped[UserId | None] = mapped_column(
        Computed(
            "CASE WHEN holder_kind = 'user'::text THEN holder ELSE NULL::text END", persisted=True
        )
    )
    team_id: Mapped[TeamId | None] = mapped_column(
        Computed(
            "CASE WHEN holder_kind = 'team'::text THEN holder ELSE NULL::text END", persisted=True
        )
    )
    granted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    granted_by: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime | None]

    @property
    def reference(self) -> ObjectReference:
        """The object in SpiceDB, such as `webhook:acme/wh_1`."""
        return ObjectReference(self.type, f"{self.organization_id}/{self.resource_id}")

    def relationships(self) -> Iterator[Relationship]:
        """Yield the relationship of the grant. SpiceDB ends it when it expires."""
        holder: ObjectReference | SubjectReference = user(self.holder)
        if self.holder_kind == HolderKind.TEAM:
            holder = SubjectReference(team(self.organization_id, self.holder), "member")
        reference = ObjectReference(self.type, f"{self.organization_id}/{self.resource_id}")
        yield reference.relates(f"granted_{self.action}", holder, until=self.expires_at)

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it grants an action or a role on an object to a user or a team."""
        resource, tenant = relationship.resource, tenant_of(relationship.resource)
        if resource.type not in catalog.types or local_id(resource, tenant) is None:
            return False
        kind = catalog.types[resource.type]
        granted = {f"granted_{name}" for name in (*kind.actions, *kind.roles)}
        subject = relationship.subject
        return relationship.relation in granted and (is_user(subject) or is_team(subject, tenant))

    @classmethod
    def rows_of_type(cls, resource_type: str) -> ColumnElement[bool]:
        """Return the condition for rows with relationships of this resource type."""
        return cls.type == resource_type

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for grants that have expired by `at`."""
        return cls.expires_at <= at

    def active(self, at: datetime) -> bool:
        """Return whether the grant has not expired at that time."""
        return self.expires_at is None or self.expires_at > at
