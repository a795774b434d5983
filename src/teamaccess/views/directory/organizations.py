"""Organizations, and the delivery of their changes."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from teamaccess.catalog import Catalog, giving_permission
from teamaccess.storage import ApplicationStatus, Organization, OrganizationId, UserId
from teamaccess.views.request import Name, Request


class ChangeView(msgspec.Struct):
    """The delivery of a ledger position to SpiceDB."""

    status: ApplicationStatus
    zed_token: str | None


class NewOrganization(Request):
    """An organization to create."""

    id: Annotated[str, Meta(min_length=3, max_length=64)]
    name: Name


class OrganizationPatch(Request):
    """The changes to an organization."""

    name: Name


class OrganizationView(msgspec.Struct):
    """An organization."""

    id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, organization: Organization) -> "OrganizationView":
        """Return the view of an organization."""
        return cls(organization.id, organization.name, organization.created_at)


class PermissionsView(msgspec.Struct):
    """The actions that the caller may do in an organization, and the roles that they may give."""

    organization: str
    user: str
    actions: list[str]
    may_give: list[str]
    """Roles that the caller may give to others without holding their actions."""

    @classmethod
    def of(
        cls, organization: OrganizationId, user: UserId, held: frozenset[str], catalog: Catalog
    ) -> "PermissionsView":
        """Return the view of what a user holds."""
        may_give = [role for role in catalog.givers if giving_permission(role) in held]
        return cls(organization, user, sorted(held & catalog.actions.keys()), may_give)
