"""An action that a custom role allows."""

from collections.abc import Iterator
from typing import ClassVar

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.catalog import Catalog
from teamaccess.models.ids import (
    ROLE_PATTERN,
    OrganizationId,
    RoleId,
    is_organization_id,
    is_role_id,
)
from teamaccess.models.source import RelationshipSource, local_id
from teamaccess.relationships import Relationship, SubjectReference, organization, role


class CustomRoleAction(RelationshipSource):
    """An action that the holders of a custom role may do throughout the organization."""

    __tablename__ = "custom_role_actions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "role"],
            ["custom_roles.organization_id", "custom_roles.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"action ~ '{ROLE_PATTERN}'", name="action"),
    )

    resource_type: ClassVar[str] = "organization"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    role: Mapped[RoleId] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)

    def relationships(self) -> Iterator[Relationship]:
        """Yield that whoever holds the role is granted the action."""
        holders = SubjectReference(role(self.organization_id, self.role), "member")
        yield organization(self.organization_id).relates(f"granted_{self.action}", holders)

    @classmethod
    def could_make(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Whether it grants an action that custom roles may hold to a role of the organization."""
        resource, subject = relationship.resource, relationship.subject
        granted = {each.grant_relation for each in catalog.actions.values() if not each.reserved}
        name = local_id(subject.object, resource.id)
        return (
            resource.type == "organization"
            and is_organization_id(resource.id)
            and relationship.relation in granted
            and subject.object.type == "role"
            and subject.relation == "member"
            and name is not None
            and is_role_id(name)
        )
