"""Objects, and what is granted on a single one."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.directory.resources.register import ResourceOperation, ResourceResult
from teamaccess.storage import Grant, Resource, ResourceId, UserId
from teamaccess.views.request import Request, WithEnd

Id = Annotated[str, Meta(min_length=1, max_length=64)]

MOST_ORDERS = 1000
MOST_GRANTS = 100


class NewResource(Request):
    """What is to be known of an object: who created it, where that matters."""

    creator: Id | None = None


class ResourceOrder(Request):
    """An object that is to be registered or removed."""

    operation: Literal["register", "remove"]
    type: Id
    id: Id
    creator: Id | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in the body, for a removal that names a creator."""
        if self.operation == "remove" and self.creator is not None:
            raise ValueError("Only what is registered has a creator")

    @property
    def order(self) -> ResourceOperation:
        """The same, as the use case takes it."""
        creator = UserId(self.creator) if self.creator is not None else None
        remove = self.operation == "remove"
        return ResourceOperation(self.type, ResourceId(self.id), creator, remove=remove)


class ResourceBatch(Request):
    """Objects to register and remove in one change, all or none."""

    items: Annotated[list[ResourceOrder], Meta(min_length=1, max_length=MOST_ORDERS)]


class ResourceView(msgspec.Struct):
    """An object that services have registered."""

    type: str
    id: str
    creator: str | None
    registered_at: datetime

    @classmethod
    def of(cls, resource: Resource) -> "ResourceView":
        """Return the object as it is shown."""
        return cls(resource.type, resource.id, resource.creator, resource.registered_at)


class OrderView(msgspec.Struct):
    """What has become of an object."""

    type: str
    id: str
    outcome: ResourceResult


class BatchView(msgspec.Struct):
    """What has become of each object, in the order in which they were named."""

    items: list[OrderView]


class GrantWanted(WithEnd, kw_only=True):
    """An action on the object for a member, or for a team."""

    action: Id
    user: Id | UnsetType = UNSET
    team: Id | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in the body, unless it is for exactly one."""
        super().__post_init__()
        if (self.user is UNSET) == (self.team is UNSET):
            raise ValueError("A grant is for one `user` or for one `team`")


class GrantsWanted(Request):
    """All that shall be granted on an object from now on."""

    grants: Annotated[list[GrantWanted], Meta(max_length=MOST_GRANTS)]


class GrantView(msgspec.Struct):
    """An action on an object that a member or a team has been granted."""

    action: str
    user: str | None
    team: str | None
    expires_at: datetime | None
    granted_at: datetime
    granted_by: str

    @classmethod
    def of(cls, grant: Grant) -> "GrantView":
        """Return the grant as it is shown."""
        return cls(
            action=grant.action,
            user=grant.holder if grant.holder_kind == "user" else None,
            team=grant.holder if grant.holder_kind == "team" else None,
            expires_at=grant.expires_at,
            granted_at=grant.granted_at,
            granted_by=grant.granted_by,
        )


class GrantsView(msgspec.Struct):
    """All that is granted on an object."""

    grants: list[GrantView]
